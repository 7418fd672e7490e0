"""Writes the miniature as a folder that the engine and transformers load.

    python -m recipes.miniature.export --checkpoint RUN/checkpoint.pt --data DIR --output FOLDER
"""

import argparse
import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file

from recipes.miniature.bloom import EPSILON, Shape
from recipes.miniature.prepare import END_ID


def write_checkpoint(state, shape, data, output, dtype=torch.float16):
    """config.json, model.safetensors in `dtype` and the tokenizer of the folder `data`."""
    output.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["BloomForCausalLM"], "model_type": "bloom",
        "vocab_size": shape.vocab, "hidden_size": shape.hidden, "n_layer": shape.layers,
        "n_head": shape.heads, "layer_norm_epsilon": EPSILON, "tie_word_embeddings": True,
        "apply_residual_connection_post_layernorm": False,
        "bos_token_id": None, "eos_token_id": END_ID, "pad_token_id": END_ID,
        "torch_dtype": str(dtype).removeprefix("torch."),
    }
    (output / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tensors = {name: tensor.to(dtype).contiguous() for name, tensor in state.items()}
    save_file(tensors, output / "model.safetensors", metadata={"format": "pt"})
    for name in ("tokenizer.model", "tokenizer_config.json"):
        shutil.copyfile(data / name, output / name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--averaged", action="store_true",
                        help="the running average of the weights: good without a cooldown")
    args = parser.parse_args()
    saved = torch.load(args.checkpoint, weights_only=True)
    write_checkpoint(saved["average" if args.averaged else "model"], Shape(), args.data,
                     args.output)


if __name__ == "__main__":
    main()
