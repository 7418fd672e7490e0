"""That the model which is trained is the one that the engine runs, before hours are spent on it."""

import torch

from recipes.finetune.batch import make_batch
from recipes.finetune.engine import log_probs
from recipes.finetune.forward import run_layers, target_log_probs
from recipes.finetune.plan import read_plan

# nats; rounding leaves below 1e-3 in f32, another model or position encoding more than 0.1.
TOLERANCE = 0.02


@torch.no_grad()
def check_forward(view, args, pairs):
    """Compares the log-probs of the shortest example, all layers run, with `skipbench logprobs`;
    ends the program where they differ."""
    example = min(pairs, key=lambda pair: len(pair[0]) + len(pair[1]))
    plan = read_plan(args.skipbench, len(view.layers), "full", 1, (), max(1, len(example[1]) - 1))
    batch = make_batch([example]).to(args.device)
    ours = target_log_probs(run_layers(view, batch, plan).logits(), batch).tolist()
    theirs = log_probs(args.skipbench, args.model, [example], threads=args.threads)[0][0]
    difference = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    if not difference <= TOLERANCE:
        raise SystemExit(f"{args.model}: transformers computes another model than skipbench: "
                         f"log-probs of an example differ by {difference:.3g} nats, expected at "
                         f"most {TOLERANCE:g}; please report it with the model's configuration")
