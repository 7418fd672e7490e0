"""Training examples: files of fields, templates, and the engine's own tokenizer."""

import csv
import gzip
import json
import pathlib
import subprocess

import numpy


def open_text(path):
    opener = gzip.open if path.suffix == ".gz" else open
    return opener(path, "rt", encoding="utf-8", newline="\n")


def flat(value):
    """A field as text: the sentences of a list are joined by blanks."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def read_fields(path, columns):
    """One dict per line of a .jsonl or .tsv file (or .gz of either; `columns` names a .tsv's)."""
    path = pathlib.Path(path)
    kind = pathlib.Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    with open_text(path) as file:
        if kind == ".jsonl":
            rows = [json.loads(line) for line in file if line.strip()]
            return [{name: flat(value) for name, value in row.items()} for row in rows]
        if kind == ".tsv":
            rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            return [dict(zip(columns, row)) for row in rows]
    raise SystemExit(f"{path}: not a .jsonl or .tsv file")


def tokenize(skipbench, model, texts):
    """Ids as the engine makes them of a prompt's text, special tokens recognised."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    command = [str(skipbench), "tokenize", "--model", str(model), "--json", "--parse-special",
               "--input", "-"]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr.strip() or f"{' '.join(command)} failed")
    return [json.loads(line)["ids"] for line in done.stdout.splitlines()]


class Examples:
    """(prompt ids, response ids with the end-of-text id) of all files, those that fit a block."""

    def __init__(self, paths, args, end_id):
        rows = [row for path in paths for row in read_fields(path, args.columns.split(","))]
        try:
            texts = [template.format(**row) for template in (args.prompt, args.response)
                     for row in rows]
        except KeyError as error:
            raise SystemExit(f"no field {error} in the data, but in a template") from None
        ids = tokenize(args.skipbench, args.model, texts)
        pairs = [(prompt, response + [end_id])
                 for prompt, response in zip(ids[:len(rows)], ids[len(rows):])]
        self.pairs = [(prompt, response) for prompt, response in pairs
                      if prompt and len(prompt) + len(response) <= args.block]
        self.left_out = len(pairs) - len(self.pairs)
        if not self.pairs:
            raise SystemExit(f"{', '.join(map(str, paths))}: no example fits {args.block} tokens")

    def batches(self, seed, epoch, batch_tokens):
        """Lists of examples of like length, at most `batch_tokens` places each, in random order: a
        pure function of the arguments."""
        generator = numpy.random.default_rng((seed, epoch))
        order = generator.permutation(len(self.pairs))
        order = sorted(order, key=lambda i: (len(self.pairs[i][0]) // 4, len(self.pairs[i][1])))
        batches, rows, widest = [], [], (0, 0)
        for i in order:
            prompt, response = self.pairs[i]
            wider = (max(widest[0], len(prompt)), max(widest[1], len(response)))
            if rows and sum(wider) * (len(rows) + 1) > batch_tokens:
                batches.append(rows)
                rows, wider = [], (len(prompt), len(response))
            rows.append(self.pairs[i])
            widest = wider
        batches.append(rows)
        return [batches[i] for i in generator.permutation(len(batches))]

    def longest_response(self):
        return max(len(response) for _, response in self.pairs)
