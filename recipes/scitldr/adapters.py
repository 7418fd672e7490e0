"""Fine-tunes SmolLM2 on SciTLDR for each strategy and target: one LoRA adapter each.

    python -m recipes.scitldr.adapters --model models/smollm2-135m --data DIR --output ADAPTERS

Every run has the same data, order, rate and number of steps. What is finished is left alone, what was
interrupted goes on.
"""

import argparse
import pathlib
import sys

from recipes.miniature.adapters import finetune

# The prompt of configs/summarization.yaml.
PROMPT = "{source}\nIn one sentence, the paper says that"
# Steps over which SkipDecode's layers fall: the mean over the dev set's first summaries is within 1 %
# of the budget.
SKIP_DECODE_LENGTH = 25
# `full` skips nothing: what the same training gives the whole model.
STRATEGIES = {"full": [], "unified": [], "skip_decode": [f"expected_length={SKIP_DECODE_LENGTH}"],
              "fixed_exit": []}


def runs(strategies, targets):
    """(strategy, target) of each adapter; `full` has no target."""
    if "full" in strategies:
        yield "full", 1
    for target in targets:
        for strategy in strategies:
            if strategy != "full":
                yield strategy, target


def options(args, strategy, target):
    return ["--model", str(args.model), "--strategy", strategy, "--target", str(target),
            "--skipbench", str(args.skipbench),
            *[part for param in STRATEGIES[strategy] for part in ("--param", param)],
            "--data", str(args.data / "train.jsonl"), "--valid", str(args.data / "valid.jsonl"),
            "--prompt", PROMPT, "--response", " {target}", "--lora-rank", str(args.rank),
            "--store", "f16", "--lr", str(args.lr), "--steps", str(args.steps),
            "--block", str(args.block), "--batch-tokens", str(args.batch_tokens),
            "--report-steps", "20", "--save-seconds", "60", *(["--bf16"] if args.bf16 else [])]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--model", type=pathlib.Path, required=True, help="folder or GGUF of SmolLM2-135M")
    add("--data", type=pathlib.Path, required=True, help="folder that recipes.scitldr.prepare wrote")
    add("--output", type=pathlib.Path, required=True)
    add("--skipbench", type=pathlib.Path, default=pathlib.Path("build/cpu-release/skipbench"))
    add("--strategies", default=",".join(STRATEGIES))
    add("--targets", default="2,3")
    add("--rank", type=int, default=4)
    add("--lr", type=float, default=6e-3)
    add("--steps", type=int, default=240)
    add("--block", type=int, default=256, help="tokens; longer examples are left out")
    add("--batch-tokens", type=int, default=1024, help="places of a batch, padding included")
    add("--bf16", action="store_true", help="on a GPU, or a CPU that multiplies bfloat16")
    args = parser.parse_args()
    failed = False
    targets = [int(target) for target in args.targets.split(",")]
    for strategy, target in runs(args.strategies.split(","), targets):
        message = finetune(args.output / f"{strategy}-{target}x", options(args, strategy, target))
        print(message, flush=True)
        failed = failed or ": failed" in message
    sys.exit(failed)


if __name__ == "__main__":
    main()
