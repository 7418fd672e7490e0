#!/usr/bin/env python3
"""Tokens per second of llama.cpp on a GGUF file, beside which ours can be put.

    pip install llama-cpp-python      # from source, so that it is built for this processor
    benchmarks/peers/llama_cpp.py MODEL.gguf --threads 2 --prompt 64 --new 64

Prints one JSON object. As llama-bench does it: a prompt of arbitrary tokens is evaluated in one
call, then tokens are decoded one by one (greedily, no sampler), each timed directly; the median of
the repetitions is reported, with the raw samples. With --batch B, B sequences are decoded together.
f32 activations do not exist there: llama.cpp quantises them to 8 bits for quantised weights.
"""

import argparse
import ctypes
import json
import statistics
import sys
import time

sys.path.pop(0)  # this file has the package's name: its own folder must not be searched
import llama_cpp  # noqa: E402
import numpy  # noqa: E402


class Session:
    """One model and context, driven through the C interface."""

    def __init__(self, path, threads, batch, positions, extra_buffers):
        llama_cpp.llama_log_set(_ignore_log, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.use_extra_bufts = extra_buffers
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), params)
        if not self.model:
            raise SystemExit(f"{path}: llama.cpp cannot load it")
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = positions * batch
        params.n_batch = params.n_ubatch = max(512, positions * batch)
        params.n_seq_max = batch
        params.n_threads = params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(
            llama_cpp.llama_model_get_vocab(self.model))
        self.batch = llama_cpp.llama_batch_init(positions * batch, 0, 1)

    def clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def decode(self, rows):
        """rows: (token, position, sequence, wants logits). Returns the seconds it took."""
        for i, (token, position, sequence, wanted) in enumerate(rows):
            self.batch.token[i] = token
            self.batch.pos[i] = position
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = sequence
            self.batch.logits[i] = wanted
        self.batch.n_tokens = len(rows)
        begin = time.perf_counter()
        if llama_cpp.llama_decode(self.context, self.batch) != 0:
            raise SystemExit("llama_decode failed")
        llama_cpp.llama_synchronize(self.context)
        return time.perf_counter() - begin

    def best_token(self, row):
        logits = llama_cpp.llama_get_logits_ith(self.context, row)
        return int(numpy.ctypeslib.as_array(logits, shape=(self.vocabulary,)).argmax())


@llama_cpp.llama_log_callback
def _ignore_log(_level, _text, _user_data):
    pass


def measure(session, batch, prompt, new):
    """One repetition: (prompt tokens/s, decode tokens/s)."""
    session.clear()
    rows = [((17 * i + 31 * s) % session.vocabulary, i, s, int(i == prompt - 1))
            for s in range(batch) for i in range(prompt)]
    prefill_seconds = session.decode(rows)
    tokens = [session.best_token(prompt * (s + 1) - 1) for s in range(batch)]
    decode_seconds = 0.0
    for step in range(new):
        decode_seconds += session.decode(
            [(tokens[s], prompt + step, s, 1) for s in range(batch)])
        tokens = [session.best_token(s) for s in range(batch)]
    return batch * prompt / prefill_seconds, batch * new / decode_seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=64, help="tokens per prompt")
    parser.add_argument("--new", type=int, default=64, help="tokens to decode per sequence")
    parser.add_argument("--batch", type=int, default=1, help="sequences decoded together")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--plain", action="store_true",
                        help="no repacked or AMX weights; the AMX path of 0.3.36 crashes on prompts"
                             " of this model on some virtual machines")
    args = parser.parse_args()
    session = Session(args.model, args.threads, args.batch, args.prompt + args.new,
                      not args.plain)
    measure(session, args.batch, args.prompt, args.new)  # warm-up
    samples = [measure(session, args.batch, args.prompt, args.new)
               for _ in range(args.repetitions)]
    print(json.dumps({
        "engine": f"llama.cpp (llama-cpp-python {llama_cpp.__version__})",
        "model": args.model,
        "threads": args.threads,
        "batch": args.batch,
        "plain": args.plain,
        "prompt_tokens": args.prompt,
        "new_tokens": args.new,
        "prompt_tokens_per_second": statistics.median(s[0] for s in samples),
        "decode_tokens_per_second": statistics.median(s[1] for s in samples),
        "prompt_samples": [s[0] for s in samples],
        "decode_samples": [s[1] for s in samples],
        "system": llama_cpp.llama_print_system_info().decode().strip(),
    }))


if __name__ == "__main__":
    main()
