#!/usr/bin/env python3
"""sacreBLEU and skipbench's metrics side by side, in turns, on the same two files.

Needs sacrebleu. Run: python3 sacrebleu_speed.py METRICS_BENCH HYPOTHESIS REFERENCE [--rounds N]
METRICS_BENCH is build/cpu-release/benchmarks/metrics_bench. Prints JSON: the median milliseconds of
both over the rounds, and their ratio. sacreBLEU's tokenizer cache is emptied before every run.
"""
import argparse
import json
import os
import statistics
import subprocess
import time

import sacrebleu
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import _bootstrap_resample, estimate_ci
import numpy as np

METRICS = {"bleu": BLEU, "chrf": CHRF, "ter": TER}


def clear_caches():
    from sacrebleu.tokenizers import tokenizer_13a, tokenizer_re, tokenizer_ter
    for cached in (tokenizer_13a.Tokenizer13a.__call__, tokenizer_re.TokenizerRegexp.__call__,
                   tokenizer_ter.TercomTokenizer.__call__):
        cached.cache_clear()


def python_times(hypotheses, references, names):
    times = {}
    for name in names:
        clear_caches()
        metric = METRICS[name]()
        start = time.perf_counter()
        metric.corpus_score(hypotheses, [references])
        times[f"score_corpus/{name}"] = 1000 * (time.perf_counter() - start)
        if name == "ter":
            continue
        stats = metric._extract_corpus_statistics(hypotheses, [references])
        start = time.perf_counter()
        _, scores = _bootstrap_resample(stats, metric, 1000)
        estimate_ci(np.array([x.score for x in scores]))
        times[f"bootstrap/{name}"] = 1000 * (time.perf_counter() - start)
    return times


def our_times(args, names):
    env = dict(os.environ, SKIPBENCH_BENCH_HYPOTHESIS=args.hypothesis,
               SKIPBENCH_BENCH_REFERENCE=args.reference)
    out = subprocess.run([args.program, "--benchmark_format=json",
                          f"--benchmark_filter=/({'|'.join(names)})$"],
                         env=env, check=True, capture_output=True).stdout
    return {row["name"]: row["real_time"] for row in json.loads(out)["benchmarks"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("hypothesis")
    parser.add_argument("reference")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--metrics", default="bleu,chrf,ter")
    args = parser.parse_args()
    names = args.metrics.split(",")
    hypotheses, references = ([line.rstrip("\n") for line in open(path, newline="\n")]
                              for path in (args.hypothesis, args.reference))
    rounds = [(python_times(hypotheses, references, names), our_times(args, names))
              for _ in range(args.rounds)]
    rows = {}
    for name in rounds[0][0]:
        theirs = statistics.median(theirs[name] for theirs, _ in rounds)
        ours = statistics.median(ours[name] for _, ours in rounds)
        rows[name] = {"sacrebleu_ms": round(theirs, 2), "skipbench_ms": round(ours, 3),
                      "ratio": round(theirs / ours, 1)}
    print(json.dumps({"sacrebleu": sacrebleu.__version__, "numpy": np.__version__,
                      "lines": len(hypotheses), "rounds": args.rounds,
                      "load": os.getloadavg()[0], "results": rows}, indent=1))


if __name__ == "__main__":
    main()
