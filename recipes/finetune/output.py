"""What a run leaves behind: a folder that the engine loads."""

import json
import pathlib
import shutil

import torch

TOKENIZER_FILES = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json",
                   "added_tokens.json", "special_tokens_map.json", "chat_template.jinja",
                   "generation_config.json")


def write_output(model, args, summary):
    """A PEFT LoRA folder, or with --full a checkpoint with its tokenizer; and how it was made."""
    output = args.output
    stored = {"f16": torch.float16, "f32": torch.float32, "bf16": torch.bfloat16}[args.store]
    model.to(stored).save_pretrained(output)
    if args.full:
        source = pathlib.Path(args.model)
        for name in TOKENIZER_FILES:
            if (source / name).exists():
                shutil.copyfile(source / name, output / name)
    (output / "finetune.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
