#!/usr/bin/env python3
"""Tokens per second of Hugging Face transformers on a model of a config's shape with random weights.

    benchmarks/peers/hf.py configs/models/bloomz-7b1.json --device cuda --batch 1,8

Prints one JSON object. Weights are made on the device. A prompt of arbitrary tokens per sequence is
run in one call, then tokens are decoded greedily one by one, each batch as a whole timed directly
(CUDA events on a GPU) over a forced length. The loop calls the model with its own cache and nothing
else: `generate` does more per token, so this is the faster way of the two and the fairer peer.
"""

import argparse
import json
import os
import statistics
import sys
import time
import warnings

sys.path.pop(0)  # the folder's other files have packages' names
import torch  # noqa: E402
import transformers  # noqa: E402

warnings.filterwarnings("ignore")  # names of arguments that change between versions


class Clock:
    """Seconds between two points of the device's work."""

    def __init__(self, device):
        self.is_cuda = device.type == "cuda"

    def mark(self):
        if not self.is_cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, begin, end):
        if not self.is_cuda:
            return end - begin
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1e3


def random_model(path, dtype, device, attention):
    with open(path, encoding="utf-8") as file:
        values = json.load(file)
    config = transformers.AutoConfig.for_model(**values)
    config.dtype = dtype
    kwargs = {"attn_implementation": attention} if attention else {}
    with torch.device(device):
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            model = transformers.AutoModelForCausalLM.from_config(config, **kwargs)
        finally:
            torch.set_default_dtype(before)
    return model.eval()


@torch.inference_mode()
def measure(model, clock, batch, prompt, new):
    """One repetition: seconds of the prefill and of the `new` steps after it."""
    device, vocabulary = model.device, model.config.vocab_size
    tokens = torch.tensor([[(17 * i + 31 * s) % vocabulary for i in range(prompt)]
                           for s in range(batch)], device=device)
    start = clock.mark()
    out = model(input_ids=tokens, use_cache=True, logits_to_keep=1)
    token = out.logits[:, -1].argmax(-1, keepdim=True)
    first = clock.mark()
    for _ in range(new):
        out = model(input_ids=token, past_key_values=out.past_key_values, use_cache=True)
        token = out.logits[:, -1].argmax(-1, keepdim=True)
    end = clock.mark()
    return clock.between(start, first), clock.between(first, end)


def measure_batch(model, clock, batch, args):
    for _ in range(args.warmup):
        measure(model, clock, batch, args.prompt, args.new)
    samples = [measure(model, clock, batch, args.prompt, args.new)
               for _ in range(args.repetitions)]
    decode = [batch * args.new / d for _, d in samples]
    total = [batch * (args.prompt + args.new + 1) / (p + d) for p, d in samples]
    return {
        "batch": batch,
        "decode_tokens_per_second": statistics.median(decode),
        "total_tokens_per_second": statistics.median(total),
        "prefill_seconds": [p for p, _ in samples],
        "decode_seconds": [d for _, d in samples],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("config", help="a Hugging Face config.json")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="float16", choices=["float16", "bfloat16", "float32"])
    parser.add_argument("--attention", default="", help="eager, sdpa, ...; default: its choice")
    parser.add_argument("--batch", default="1,8", help="batch sizes, comma-separated")
    parser.add_argument("--prompt", type=int, default=64, help="tokens per prompt")
    parser.add_argument("--new", type=int, default=64, help="tokens to decode per sequence")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=1)
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    device = torch.device(args.device)
    torch.manual_seed(0)
    model = random_model(args.config, getattr(torch, args.dtype), device, args.attention)
    clock = Clock(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    print(json.dumps({
        "engine": f"transformers {transformers.__version__}, torch {torch.__version__}",
        "config": args.config,
        "device": name,
        "dtype": args.dtype,
        "attention": model.config._attn_implementation,  # noqa: SLF001
        "prompt_tokens": args.prompt,
        "new_tokens": args.new,
        "batches": [measure_batch(model, clock, int(batch), args)
                    for batch in args.batch.split(",")],
    }))


if __name__ == "__main__":
    main()
