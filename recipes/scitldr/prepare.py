"""Writes train.jsonl and valid.jsonl of SciTLDR for recipes.finetune.

    python -m recipes.scitldr.prepare --train TRAIN.jsonl.gz \
        --held-out datasets/scitldr --output DIR

A paper's abstract as one text, and the first of its summaries: another one would be another example
for the same text. No paper of the held-out test and dev sets is in train.jsonl; valid.jsonl is the
held-out dev set.
"""

import argparse
import hashlib
import json
import pathlib

from recipes.finetune.data import flat, open_text


def papers(path):
    with open_text(pathlib.Path(path)) as file:
        return [json.loads(line) for line in file if line.strip()]


def write(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            example = {"source": flat(row["source"]), "target": row["target"][0].strip()}
            file.write(json.dumps(example) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", type=pathlib.Path, required=True)
    parser.add_argument("--held-out", type=pathlib.Path, required=True,
                        help="folder with test.jsonl.gz and dev.jsonl.gz")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    args = parser.parse_args()
    files = {"train": args.train, "test": args.held_out / "test.jsonl.gz",
             "dev": args.held_out / "dev.jsonl.gz"}
    rows = {name: papers(path) for name, path in files.items()}
    held_out = {row["paper_id"] for name in ("test", "dev") for row in rows[name]}
    kept = [row for row in rows["train"] if row["paper_id"] not in held_out]
    args.output.mkdir(parents=True, exist_ok=True)
    write(args.output / "train.jsonl", kept)
    write(args.output / "valid.jsonl", rows["dev"])
    summary = {"left_out": len(rows["train"]) - len(kept), "train": len(kept),
               "valid": len(rows["dev"]),
               "sha256": {name: hashlib.sha256(path.read_bytes()).hexdigest()
                          for name, path in files.items()}}
    (args.output / "prepared.json").write_text(json.dumps(summary, indent=2) + "\n",
                                               encoding="utf-8")
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
