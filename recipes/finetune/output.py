"""What a run leaves behind: a folder that the engine loads."""

import json
import pathlib
import shutil
import tempfile

import torch

from recipes.finetune.engine import tokenize
from recipes.finetune.families import find_weights
from recipes.finetune.folder import write_whole

TOKENIZER_FILES = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json",
                   "added_tokens.json", "special_tokens_map.json", "chat_template.jinja",
                   "generation_config.json")
STORED = {"f16": torch.float16, "f32": torch.float32, "bf16": torch.bfloat16}
COMPARED_TEXTS = 200


def write_tokenizer(model, folder):
    """The tokenizer of a model's folder, copied, or that of a GGUF as transformers writes it."""
    source, options = find_weights(model)
    if "gguf_file" in options:
        from transformers import AutoTokenizer
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True, **options)
        tokenizer.save_pretrained(folder)
        return
    for name in TOKENIZER_FILES:
        if (pathlib.Path(source) / name).exists():
            shutil.copyfile(pathlib.Path(source) / name, folder / name)


def check_tokenizer(args, texts):
    """With --full from a GGUF: ends the program now where its tokenizer, written as files, would
    read the data in another way."""
    if not args.full or "gguf_file" not in find_weights(args.model)[1]:
        return
    texts = texts[:COMPARED_TEXTS]
    hint = "train an adapter (--lora-rank), or name a folder in Hugging Face's form as --model"
    with tempfile.TemporaryDirectory() as folder:
        try:
            write_tokenizer(args.model, pathlib.Path(folder))
            written = tokenize(args.skipbench, folder, texts)
        except (Exception, SystemExit) as error:  # transformers' converters raise anything
            raise SystemExit(f"--full: the tokenizer of {args.model} cannot be written as files: "
                             f"{str(error).splitlines()[0]}; {hint}") from None
    if written != tokenize(args.skipbench, args.model, texts):
        raise SystemExit(f"--full: the tokenizer of {args.model}, written as files, reads the data "
                         f"in another way; {hint}")


def write_output(model, args, summary):
    """A PEFT LoRA folder, or with --full a checkpoint with its tokenizer; and how it was made."""
    output = args.output
    model.to(STORED[args.store])
    for name, value in model.named_parameters():
        if not torch.isfinite(value).all():
            raise SystemExit(f"{name}: a weight beyond what {args.store} holds; the same command "
                             "with --store bf16 or f32 writes what was trained")
    model.save_pretrained(output)
    if args.full:
        write_tokenizer(args.model, output)
    write_whole(output / "finetune.json", json.dumps(summary, indent=2) + "\n")
