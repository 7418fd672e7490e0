"""Fine-tunes a model for decoding with skipped layers: see recipes/finetune/README.md."""

import sys

import torch

from recipes.finetune import engine
from recipes.finetune.arguments import file_hash, identity, parse_arguments, settings
from recipes.finetune.data import Examples
from recipes.finetune.families import load_model, view_of
from recipes.finetune.folder import RunFolder
from recipes.finetune.output import check_tokenizer, write_output
from recipes.finetune.check import check_forward
from recipes.finetune.plan import fit_expected_length, read_plan
from recipes.finetune.train import Training


def prepare_weights(model, view, args):
    """Chooses what is trained; returns the model to train, wrapped for LoRA."""
    if args.full:
        for module in view.embeddings():
            module.weight.requires_grad_(args.train_embeddings)
        return model
    from peft import LoraConfig, get_peft_model
    config = LoraConfig(
        task_type="CAUSAL_LM", r=args.lora_rank, lora_alpha=args.lora_alpha,
        target_modules=list(view.adapted), lora_dropout=0.0, bias="none")
    return get_peft_model(model, config)


def plan_for(args, layers, train, valid):
    """The strategy's plan for the longest response, and the parameters that it has."""
    params = args.param
    if args.strategy == "skip_decode":
        params, found = fit_expected_length(args.skipbench, layers, args.target, params,
                                            [len(response) - 1 for _, response in train.pairs])
        if found:
            print(found, flush=True)
    longest = max(examples.longest_response() for examples in (train, valid) if examples)
    return params, read_plan(args.skipbench, layers, args.strategy, args.target, params,
                             max(1, longest - 1))


def main():
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    facts = engine.inspect(args.skipbench, args.model)
    if not facts["end_of_text_ids"]:
        raise SystemExit(f"{args.model}: no end-of-text id in its configuration")
    end_id = facts["end_of_text_ids"][0]
    train = Examples(args.data, args, end_id)
    valid = Examples(args.valid, args, end_id) if args.valid else None
    check_tokenizer(args, train.texts)
    params, plan = plan_for(args, facts["shape"]["layers"], train, valid)
    folder = RunFolder(args.output, identity(args, facts["hash"]))
    if folder.is_finished():
        print(f"{args.output}: is finished; nothing to do")
        return
    model, has_other_positions = load_model(args.model, facts, args.device)
    if args.full and has_other_positions:
        raise SystemExit(f"--full: a checkpoint would lack the RoPE scaling of {args.model}; train "
                         "an adapter (--lora-rank), or name a folder in Hugging Face's form")
    view = view_of(model)
    check_forward(view, args, train.pairs)
    model = prepare_weights(model, view, args).train()
    training = Training(model, view, plan, train, valid, args, folder)
    training.resume()
    print(f"{len(train.pairs)} examples ({train.left_out} too long, {train.without_prompt} without "
          f"a prompt), {training.total} steps, "
          f"{sum(p.numel() for p in training.trained.values())} weights trained", flush=True)
    row = training.run()
    write_output(model, args, {
        "command": ["python", "-m", "recipes.finetune", *sys.argv[1:]],
        "settings": settings(args), "params": params, "torch": torch.__version__,
        "model_hash": facts["hash"],
        "data_sha256": {str(path): file_hash(path) for path in [*args.data, *args.valid]},
        "examples": len(train.pairs), "left_out": train.left_out + train.without_prompt,
        "last": row})


if __name__ == "__main__":
    main()
