"""Teacher-forced log-probs of the recipe's forward against `skipbench logprobs`.

    python -m recipes.tests.parity [--skipbench PROGRAM] [--fused] [--device cuda]

--fused takes the attention of a GPU on a CPU. Every strategy on tiny models of each family
(tests/fixtures/models), folders and GGUFs; ragged batches; random token ids. Prints the largest
difference of each case; ends with 1 if one exceeds 1e-4.
"""

import argparse
import pathlib
import random
import sys
from unittest import mock

import torch

from recipes.finetune import engine, forward
from recipes.finetune.batch import make_batch
from recipes.finetune.exits import rule_log_probs
from recipes.finetune.families import load_model, view_of
from recipes.finetune.forward import run_layers, target_log_probs
from recipes.finetune.plan import read_plan

MODELS = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "models"
NAMES = ("llama-gqa-tied-llama3", "llama-yarn", "bloom-7layers", "bloom-3heads-post-norm", "qwen2",
         "qwen3-bias-yarn", "mistral-window", "qwen2-window", "llama-f16-linear.gguf",
         "llama-f32-llama3.gguf", "llama-q4_0-yarn.gguf", "llama-q4_1-head-dim.gguf",
         "qwen2-q8_0.gguf", "qwen3-q4_0.gguf", "bloom-q8_0.gguf")
TOLERANCE = 1e-4
STEPS = 11


def cases(layers):
    """(strategy, target, params) that a model of this depth has."""
    yield "full", 1, ()
    if layers < 3:
        return
    order = ",".join(str(layer) for layer in range(layers - 1))
    for target in sorted({1.5, layers / 2}):
        yield "unified", target, ()
        yield "fixed_exit", target, ()
        yield "skip_decode", target, ("expected_length=6",)
        yield "random", target, ("seed=3",)
        yield "random", target, ("seed=5", "per=step")
        yield "static_pruning", target, (f"order={order}",)
        yield "static_pruning", target, (f"order={order}", "prefill=full")
    for threshold in (0.0005, 0.002, 0.01, 0.05):
        yield "early_exit", 1.5, (f"threshold={threshold}",)
        yield "early_exit", 1.5, (f"threshold={threshold}", "kv=absent", "min_layer=2")
    yield "early_exit", 1.5, ("threshold=0.03", "signal=top_probability", "exit_interval=2")
    yield "early_exit", 1.5, ("threshold=0.004", "decay_tau=4", "decay_length=8")


def requests(vocabulary, generator):
    def ids(length):
        return [generator.randrange(vocabulary) for _ in range(length)]
    return [(ids(prompt), ids(response)) for prompt, response in
            ((5, 9), (1, STEPS), (8, 1), (3, 2), (12, 7), (4, STEPS))]


@torch.no_grad()
def recipe_scores(view, plan, batch):
    """([batch, steps + 1] log-probs, the same of layers or None for an input-independent plan)."""
    if plan.rule is not None:
        return rule_log_probs(view, batch, plan)
    log_probs = torch.zeros(batch.targets.shape, device=batch.targets.device)
    logits = run_layers(view, batch, plan).logits()
    log_probs[batch.scored] = target_log_probs(logits, batch)
    return log_probs, None


def compare(skipbench, name, generator, device):
    """Largest difference over all cases of a model."""
    facts = engine.inspect(skipbench, MODELS / name)
    view = view_of(load_model(MODELS / name, facts, device)[0].eval())
    layers = len(view.layers)
    examples = requests(view.model.config.vocab_size, generator)
    batch = make_batch(examples).to(device)
    worst, exited = 0.0, 0
    for strategy, target, params in cases(layers):
        plan = read_plan(skipbench, layers, strategy, target, params, STEPS)
        got, got_layers = recipe_scores(view, plan, batch)
        want, want_layers = engine.log_probs(skipbench, MODELS / name, examples, strategy, target,
                                             params)
        difference = max(abs(float(got[row, i]) - log_prob) for row, log_probs in enumerate(want)
                         for i, log_prob in enumerate(log_probs))
        if got_layers is not None:
            rows = [got_layers[row, :len(counts)].tolist() for row, counts in enumerate(want_layers)]
            assert rows == want_layers, f"{name} {strategy} {params}: layers differ"
            exited += sum(count < layers for counts in want_layers for count in counts)
        print(f"{name:24} {strategy:14} {target:4} {' '.join(params):42} {difference:.1e}")
        worst = max(worst, difference)
    assert layers < 3 or exited > 0, f"{name}: no row ever exited"
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--skipbench", type=pathlib.Path,
                        default=pathlib.Path("build/cpu-release/skipbench"))
    parser.add_argument("--fused", action="store_true")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    generator = random.Random(1)
    fused = (lambda query: True) if args.fused else forward.is_fused
    with mock.patch.object(forward, "is_fused", fused):
        worst = max(compare(args.skipbench, name, generator, args.device) for name in NAMES)
    print(f"largest difference {worst:.1e}, allowed {TOLERANCE:.0e}")
    sys.exit(worst > TOLERANCE)


if __name__ == "__main__":
    main()
