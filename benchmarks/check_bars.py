#!/usr/bin/env python3
"""Speed bars of the demo model, as ratios within one process: batch 8 decodes at least 1.3 times
batch 1's tokens per second, and unified at 5x reaches at least 80 % of its bound at both.

    benchmarks/check_bars.py [--skipbench build/cpu-release/skipbench] [--model models/smollm2-135m]

Runs configs/bars.yaml (full and unified 5x, interleaved, forced length) into a temporary store and
reads `skipbench table -o json`. Prints each bar with what was measured. Exit code: 0 all hold, 1 one
does not. Both bars are far below what a quiet machine gives (benchmarks/README.md), so that a busy
one passes as well.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def measure(skipbench: str, model: str) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "bars.db")
        subprocess.run([skipbench, "run", "configs/bars.yaml", "--set", f"model.path={model}",
                        "--set", f"results={store}"], cwd=ROOT, check=True,
                       stdout=subprocess.DEVNULL)
        table = subprocess.run([skipbench, "table", store, "-o", "json"], cwd=ROOT, check=True,
                               capture_output=True, text=True).stdout
    return json.loads(table)["rows"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--skipbench", default=f"{ROOT}/build/cpu-release/skipbench")
    parser.add_argument("--model", default="models/smollm2-135m")
    args = parser.parse_args()

    rows = {(row["strategy"], row["batch"]): row for row in measure(args.skipbench, args.model)}
    bars = [("full, batch 8 over batch 1, decode tokens/s",
             rows["full", 8]["decode_tokens_per_second"]
             / rows["full", 1]["decode_tokens_per_second"], 1.3)]
    bars += [(f"unified 5x, batch {batch}, speedup over its bound",
              rows["unified", batch]["speedup"] / rows["unified", batch]["bound"], 0.8)
             for batch in (1, 8)]
    for name, got, bar in bars:
        print(f"{'ok  ' if got >= bar else 'FAIL'} {name}: {got:.2f}, at least {bar}")
    return 0 if all(got >= bar for _, got, bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
