"""Fine-tunes the miniature for every strategy and target: one LoRA adapter each.

    python -m recipes.miniature.adapters --base RUN/base --data DIR --output models/miniature/adapters

The table below is what is trained. Every run has the same data, rate and number of steps; early exit
has one adapter for all targets and as many steps as the others have over all of them. What is
finished is left alone, what was interrupted goes on.
"""

import argparse
import concurrent.futures
import pathlib
import subprocess
import sys

TARGETS = (2, 3, 5, 10)
RANK, RATE, STEPS = 8, 1e-2, 200
# Steps over which SkipDecode's layers fall: the mean over the validation split's references is
# within 1 % of every target's budget.
SKIP_DECODE_LENGTH = 15


def table(block_influence, greedy, steps, seeds):
    """(folder, strategy, target, parameters, further options) of each run, the shortest list first.

    block_influence: layers in the order of removal, or "" to leave this pruning out.
    greedy: the same for removal one by one, {target: order}.
    steps: of each run but early exit's, which has them for each target.
    seeds: sets of the random control, each with an adapter of its own: an adapter is trained for
    its layers, and one for several sets would be a weaker control.
    """
    yield ("early_exit", "early_exit", 3, ["min_layer=2"],
           ["--steps", str(len(TARGETS) * steps), "--exit-samples", "3"])
    for target in (3, 2, 5, 10):
        for strategy, params in (("unified", []), ("fixed_exit", []),
                                 ("skip_decode", [f"expected_length={SKIP_DECODE_LENGTH}"])):
            yield f"{strategy}-{target}x", strategy, target, params, []
    for target in (2, 3, 5):  # at 10x both spacings have the same layers
        yield f"unified_even-{target}x", "unified", target, ["spacing=even"], []
    if block_influence:
        for target in TARGETS:
            yield (f"static_pruning-{target}x", "static_pruning", target,
                   [f"order={block_influence}"], [])
    for target, order in greedy.items():
        yield f"greedy_pruning-{target}x", "static_pruning", target, [f"order={order}"], []
    for seed in range(seeds):
        for target in TARGETS:
            yield f"random_{seed}-{target}x", "random", target, [f"seed={seed}"], []


def options_of(args, run):
    """Arguments of recipes.finetune, but for the output."""
    _, strategy, target, params, options = run
    return ["--model", str(args.base), "--strategy", strategy, "--target", str(target),
            "--skipbench", str(args.skipbench),
            *[part for param in params for part in ("--param", param)],
            "--data", str(args.data / "train.tsv"), "--valid", str(args.data / "valid.tsv"),
            "--prompt", "{source}<en>", "--response", "{target}", "--lora-rank", str(RANK),
            "--store", "f16", "--lr", str(args.rate), "--steps", str(args.steps),
            "--batch-tokens", "3000", "--label-smoothing", "0.1",
            *([] if args.f32 else ["--bf16"]), *options]


def finetune(folder, options):
    """Runs recipes.finetune to its end, unless `folder` is finished; says what came out."""
    if (folder / "finetune.json").exists():
        return f"{folder.name}: is there"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "train.out", "a", encoding="utf-8") as out:
        done = subprocess.run([sys.executable, "-m", "recipes.finetune", "--output", str(folder),
                               *options], stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        return f"{folder.name}: failed, see {folder / 'train.out'}"
    # What only an interrupted run needs: twice the adapter's size, with the optimiser's state.
    for name in ("checkpoint.pt", "run.json", "train.out"):
        (folder / name).unlink(missing_ok=True)
    return f"{folder.name}: done"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--base", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--skipbench", type=pathlib.Path,
                        default=pathlib.Path("build/cpu-release/skipbench"))
    parser.add_argument("--block-influence", default="",
                        help="layers in static pruning's order of removal, as `order` takes them")
    parser.add_argument("--greedy", default="",
                        help="the same of greedy removal, for 2x and 3x (first 4, last 2 stay)")
    parser.add_argument("--greedy-few", default="",
                        help="the same for 5x and 10x (the first and the last layer stay)")
    parser.add_argument("--only", default="", help="folders that begin so")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rate", type=float, default=RATE, help="learning rate of all runs")
    parser.add_argument("--random-seeds", type=int, default=5, help="sets of the random control")
    parser.add_argument("--f32", action="store_true",
                        help="products in f32: far quicker where the CPU has no bfloat16")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, one thread each")
    args = parser.parse_args()
    greedy = {target: order for target in TARGETS
              if (order := args.greedy if target < 5 else args.greedy_few)}
    runs = [run for run in table(args.block_influence, greedy, args.steps, args.random_seeds)
            if run[0].startswith(args.only)]
    failed = False
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for message in pool.map(
                lambda run: finetune(args.output / run[0], options_of(args, run)), runs):
            print(message, flush=True)
            failed = failed or ": failed" in message
    sys.exit(failed)


if __name__ == "__main__":
    main()
