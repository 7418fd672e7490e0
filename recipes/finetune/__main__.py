"""Fine-tunes a model for decoding with skipped layers: see recipes/finetune/README.md."""

import argparse
import hashlib
import pathlib
import sys

import torch

from recipes.finetune.data import Examples
from recipes.finetune.families import load_model, view_of
from recipes.finetune.output import write_output
from recipes.finetune.plan import read_plan
from recipes.finetune.train import Training


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="python -m recipes.finetune", description=__doc__.split(":")[0] + ".",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--model", required=True, help="folder or GGUF that the engine loads")
    add("--output", type=pathlib.Path, required=True)
    add("--strategy", required=True, help="as `skipbench strategies` names them")
    add("--target", type=float, default=1.0, help="the asked-for speedup")
    add("--param", action="append", default=[], help="strategy parameter KEY=VALUE; repeatable")
    add("--skipbench", type=pathlib.Path, default=pathlib.Path("build/cpu-release/skipbench"))
    data = parser.add_argument_group("data")
    add = data.add_argument
    add("--data", nargs="+", required=True, help=".jsonl or .tsv files, or .gz of them")
    add("--valid", nargs="+", default=[], help="files for the validation loss")
    add("--columns", default="source,target", help="names of a .tsv file's columns")
    add("--prompt", default="{source}", help="template of prompts; fields in braces")
    add("--response", default="{target}", help="template of responses; often with a blank first")
    add("--block", type=int, default=512, help="tokens; longer examples are left out")
    what = parser.add_argument_group("what is trained")
    choice = what.add_mutually_exclusive_group()
    choice.add_argument("--lora-rank", type=int, default=16)
    choice.add_argument("--full", action="store_true", help="all weights, written as a checkpoint")
    add = what.add_argument
    add("--lora-alpha", type=float, default=None, help="None: twice the rank")
    add("--train-embeddings", action="store_true")
    add("--store", choices=("f16", "bf16", "f32"), default=None,
        help="type of what is written; None: f16 for --full, f32 for an adapter")
    how = parser.add_argument_group("how (defaults: the paper's, arXiv 2404.06954)")
    add = how.add_argument
    add("--lr", type=float, default=2e-5)
    add("--warmup", type=float, default=0.03, help="share of the steps")
    add("--epochs", type=float, default=2.0)
    add("--steps", type=int, default=0, help="instead of epochs")
    add("--batch-tokens", type=int, default=8192, help="places of a batch, padding included")
    add("--weight-decay", type=float, default=0.0)
    add("--beta2", type=float, default=0.999)
    add("--clip", type=float, default=1.0, help="largest norm of the gradient")
    add("--dropout", type=float, default=0.0, help="on each sublayer's output")
    add("--label-smoothing", type=float, default=0.0)
    add("--exit-samples", type=int, default=0,
        help="early exit: exits drawn per step for the loss; 0: all")
    add("--seed", type=int, default=1)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--bf16", action=argparse.BooleanOptionalAction, default=torch.cuda.is_available(),
        help="products in bfloat16, weights in f32")
    add("--threads", type=int, default=1, help="of the CPU")
    add("--report-steps", type=int, default=50)
    add("--save-seconds", type=float, default=120)
    args = parser.parse_args()
    args.store = args.store or ("f16" if args.full else "f32")
    return args


def end_of_text(model, path):
    ids = model.generation_config.eos_token_id or model.config.eos_token_id
    ids = ids if isinstance(ids, list) else [ids]
    if ids[0] is None:
        raise SystemExit(f"{path}: no end-of-text id in its configuration")
    return ids[0]


def prepare_weights(model, view, args):
    """Chooses what is trained; returns the model to train, wrapped for LoRA."""
    if args.full:
        for module in view.embeddings():
            module.weight.requires_grad_(args.train_embeddings)
        return model
    from peft import LoraConfig, get_peft_model
    config = LoraConfig(
        task_type="CAUSAL_LM", r=args.lora_rank, lora_alpha=args.lora_alpha or 2 * args.lora_rank,
        target_modules=list(view.adapted), lora_dropout=0.0, bias="none")
    return get_peft_model(model, config)


def file_hash(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def main():
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.output.mkdir(parents=True, exist_ok=True)
    model = load_model(args.model, args.device)
    view = view_of(model)
    end_id = end_of_text(model, args.model)
    train = Examples(args.data, args, end_id)
    valid = Examples(args.valid, args, end_id) if args.valid else None
    longest = max(examples.longest_response() for examples in (train, valid) if examples)
    plan = read_plan(args.skipbench, len(view.layers), args.strategy, args.target, args.param,
                     max(1, longest - 1))
    model = prepare_weights(model, view, args).train()
    training = Training(model, view, plan, train, valid, args)
    training.resume()
    print(f"{len(train.pairs)} examples ({train.left_out} too long), {training.total} steps, "
          f"{sum(p.numel() for p in training.trained.values())} weights trained", flush=True)
    row = training.run()
    write_output(model, args, {
        "command": ["python", "-m", "recipes.finetune", *sys.argv[1:]],
        "settings": training.settings(), "torch": torch.__version__,
        "data_sha256": {str(path): file_hash(path) for path in [*args.data, *args.valid]},
        "examples": len(train.pairs), "left_out": train.left_out, "last": row})


if __name__ == "__main__":
    main()
