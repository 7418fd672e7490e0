"""An interrupted run of the recipe ends with the same weights, and the engine loads its output.

    python -m recipes.tests.resume [--skipbench build/cpu-release/skipbench]

A tiny BLOOM with random weights and the vocabulary of a test fixture, every strategy, --full and
LoRA: twelve steps at once, and twelve steps broken off after the fifth, must leave equal files.
"""

import argparse
import contextlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
from unittest import mock

import sentencepiece
import torch
from safetensors.torch import load_file
from transformers import BloomConfig, BloomForCausalLM

from recipes.finetune import __main__ as command
from recipes.finetune.train import Training

TOKENIZER = (pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "tokenizer"
             / "spm-unigram" / "tokenizer.model")
RUNS = (("unified", 2, ("--full",)), ("skip_decode", 2, ("--lora-rank", "4")),
        ("fixed_exit", 3, ("--full", "--dropout", "0.1")),
        ("random", 2, ("--full", "--param", "per=step")),
        ("static_pruning", 2, ("--full", "--param", "order=1,2,3,4")),
        ("early_exit", 2, ("--full", "--exit-samples", "2")),
        ("early_exit", 2, ("--lora-rank", "2", "--dropout", "0.1")))


class Broken(Exception):
    pass


def make_inputs(folder, vocabulary):
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=vocabulary, hidden_size=16, n_layer=6, n_head=2,
                         bos_token_id=1, eos_token_id=2, initializer_range=0.3)
    BloomForCausalLM(config).save_pretrained(folder / "model")
    shutil.copyfile(TOKENIZER, folder / "model" / "tokenizer.model")
    lines = [{"source": f"the number {i}", "target": "and " * (i % 5) + str(i * i)}
             for i in range(60)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "train.jsonl").write_text(text)


def finetune(folder, output, skipbench, strategy, target, options, stop_after=None):
    argv = ["finetune", "--model", str(folder / "model"), "--data", str(folder / "train.jsonl"),
            "--valid", str(folder / "train.jsonl"), "--output", str(output), "--skipbench",
            str(skipbench), "--strategy", strategy, "--target", str(target), "--steps", "12",
            "--batch-tokens", "200", "--lr", "1e-2", "--save-seconds", "0", "--report-steps", "4",
            "--device", "cpu", "--no-bf16", "--store", "f32", *options]
    take_step = Training.take_step

    def breaking(training, examples):
        if training.step == stop_after:
            raise Broken
        return take_step(training, examples)

    with mock.patch.object(sys, "argv", argv), mock.patch.object(Training, "take_step", breaking):
        try:
            command.main()
            assert stop_after is None
        except Broken:
            pass


def check(folder, skipbench, index, strategy, target, options):
    whole, parts = folder / f"whole{index}", folder / f"parts{index}"
    finetune(folder, whole, skipbench, strategy, target, options)
    finetune(folder, parts, skipbench, strategy, target, options, stop_after=5)
    finetune(folder, parts, skipbench, strategy, target, options)
    name = "model.safetensors" if "--full" in options else "adapter_model.safetensors"
    first, second = load_file(whole / name), load_file(parts / name)
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), f"{strategy} {options}: {key} differs"
    losses = [json.loads(line)["valid_loss"]
              for line in (whole / "log.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0], f"{strategy} {options}: nothing learnt, {losses}"
    model = ([whole] if "--full" in options else [folder / "model", "--adapter", whole])
    request = json.dumps({"prompt": [5, 6], "continuation": [7, 8]}) + "\n"
    subprocess.run([str(skipbench), "logprobs", "--input", "-", "--model", *map(str, model)],
                   input=request, text=True, check=True, stdout=subprocess.DEVNULL)
    return losses


@contextlib.contextmanager
def test_folder(description):
    """(a temporary folder with make_inputs' files, the program that the command line names)."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--skipbench", type=pathlib.Path,
                        default=pathlib.Path("build/cpu-release/skipbench"))
    skipbench = parser.parse_args().skipbench.resolve()
    vocabulary = sentencepiece.SentencePieceProcessor(model_file=str(TOKENIZER)).get_piece_size()
    with tempfile.TemporaryDirectory() as folder:
        make_inputs(pathlib.Path(folder), vocabulary)
        yield pathlib.Path(folder), skipbench


def main():
    with test_folder(__doc__) as (folder, skipbench):
        for index, run in enumerate(RUNS):
            losses = check(folder, skipbench, index, *run)
            print(f"{run}: equal; validation loss {losses[0]:.3f} to {losses[-1]:.3f}")


if __name__ == "__main__":
    main()
