"""The command line of recipes.finetune, and what of it a run is."""

import argparse
import hashlib
import math
import pathlib
import sys

import torch


def number(low, high, kind=float, above=False):
    """A type for argparse: a finite number of [low, high], or above low."""
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (low < value <= high if above else low <= value <= high) or math.isinf(value):
            bound = f"{low} < x" if above else f"x >= {low}"
            most = "" if math.isinf(high) else f", x <= {high}"
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {what}, {bound}{most}; got {text!r}")
        return value
    return parse


positive = number(0, math.inf, above=True)
count = number(1, 2 ** 31, int)
share = number(0, 1)


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="python -m recipes.finetune",
        description="Fine-tunes a model for decoding with skipped layers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--model", required=True, help="folder or GGUF that the engine loads")
    add("--output", type=pathlib.Path, required=True)
    add("--strategy", required=True, help="as `skipbench strategies` names them")
    add("--target", type=positive, default=1.0, help="the asked-for speedup")
    add("--param", action="append", default=[], help="strategy parameter KEY=VALUE; repeatable")
    add("--skipbench", type=pathlib.Path, default=pathlib.Path("build/cpu-release/skipbench"))
    data = parser.add_argument_group("data")
    add = data.add_argument
    add("--data", nargs="+", required=True, help=".jsonl or .tsv files, or .gz of them")
    add("--valid", nargs="+", default=[], help="files for the validation loss")
    add("--columns", default="source,target", help="names of a .tsv file's columns")
    add("--prompt", default="{source}", help="template of prompts; fields in braces")
    add("--response", default="{target}", help="template of responses; often with a blank first")
    add("--block", type=count, default=512, help="tokens; longer examples are left out")
    what = parser.add_argument_group("what is trained")
    choice = what.add_mutually_exclusive_group()
    choice.add_argument("--lora-rank", type=count, default=None, help="None: 16")
    choice.add_argument("--full", action="store_true", help="all weights, written as a checkpoint")
    add = what.add_argument
    add("--lora-alpha", type=positive, default=None, help="None: twice the rank")
    add("--train-embeddings", action="store_true", help="with --full")
    add("--store", choices=("f16", "bf16", "f32"), default=None,
        help="type of what is written; None: f16 for --full, f32 for an adapter")
    how = parser.add_argument_group("how (defaults: the paper's, arXiv 2404.06954)")
    add = how.add_argument
    add("--lr", type=positive, default=2e-5)
    add("--warmup", type=share, default=0.03, help="share of the steps")
    add("--epochs", type=positive, default=2.0)
    add("--steps", type=number(0, 2 ** 31, int), default=0, help="instead of epochs")
    add("--batch-tokens", type=count, default=8192, help="places of a batch, padding included")
    add("--weight-decay", type=number(0, math.inf), default=0.0)
    add("--beta2", type=number(0, 0.999999), default=0.999)
    add("--clip", type=positive, default=1.0, help="largest norm of the gradient")
    add("--dropout", type=number(0, 0.99), default=0.0, help="on each sublayer's output")
    add("--label-smoothing", type=number(0, 0.99), default=0.0)
    add("--exit-samples", type=number(0, 2 ** 31, int), default=0,
        help="early exit: exits drawn per step for the loss; 0: all")
    add("--seed", type=number(0, 2 ** 63, int), default=1)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--bf16", action=argparse.BooleanOptionalAction, default=torch.cuda.is_available(),
        help="products in bfloat16, weights in f32")
    add("--threads", type=count, default=1, help="of the CPU")
    add("--report-steps", type=count, default=50)
    add("--save-seconds", type=number(0, math.inf), default=120)
    args = parser.parse_args()
    finish(args)
    return args


def finish(args):
    """Defaults that depend on other arguments; ends where arguments contradict one another."""
    if args.full:
        if args.lora_alpha is not None:
            raise SystemExit("--lora-alpha: --full has no adapter; leave one of them out")
    elif args.train_embeddings:
        raise SystemExit("--train-embeddings: an adapter leaves embeddings alone; expected --full")
    args.lora_rank = None if args.full else args.lora_rank or 16
    if not args.full and args.lora_alpha is None:
        args.lora_alpha = 2.0 * args.lora_rank
    args.store = args.store or ("f16" if args.full else "f32")
    if pathlib.Path(args.model).resolve() == args.output.resolve():
        raise SystemExit(f"--output {args.output}: that is --model, which would be overwritten")
    for option in ("prompt", "response"):
        if "\\n" in getattr(args, option):
            print(f"note: --{option} holds a backslash and an n; for a line break write "
                  f"$'...\\n...' in the shell", file=sys.stderr)
    try:
        torch.empty(1, device=args.device)
    except (RuntimeError, AssertionError) as error:
        raise SystemExit(f"--device {args.device}: {str(error).splitlines()[0]}; expected cpu, or "
                         "cuda where PyTorch finds a GPU") from None


def settings(args):
    """All arguments that change what is computed."""
    neutral = ("output", "skipbench", "threads", "report_steps", "save_seconds", "device")
    return {name: value if isinstance(value, (bool, int, float)) else str(value)
            for name, value in vars(args).items() if name not in neutral}


def file_hash(path):
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SystemExit(f"{path}: {error.strerror}") from None


def identity(args, model_hash):
    """What a run is: contents of files instead of their names, and nothing of how it is written."""
    named = settings(args)
    for name in ("model", "data", "valid", "store"):
        del named[name]
    named["model"] = model_hash
    named["data"] = [file_hash(path) for path in args.data]
    named["valid"] = [file_hash(path) for path in args.valid]
    return named
