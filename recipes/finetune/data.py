"""Training examples: files of fields, templates, and the engine's own tokenizer."""

import gzip
import json
import pathlib
import string
import zlib

import numpy

from recipes.finetune.engine import tokenize


def read_lines(path):
    """Lines of a text file or a .gz of one, without their ends."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="\n") as file:
            return [line.removesuffix("\n").removesuffix("\r") for line in file]
    except UnicodeDecodeError as error:
        raise SystemExit(f"{path}: not valid UTF-8 ({error.reason})") from None
    except (OSError, EOFError, zlib.error) as error:
        raise SystemExit(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}; "
                         "expected a text file, or gzip where the name ends in .gz") from None


def flat(value, where):
    """A field as text: the sentences of a list are joined by blanks."""
    if isinstance(value, list):
        return " ".join(flat(part, where) for part in value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise SystemExit(f"{where}: expected text, a number or a list of these, got "
                         f"{json.dumps(value)[:40]}")
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SystemExit(f"{where}: half of a surrogate pair, which is no text") from None
    return text


def json_fields(line, where, fields):
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise SystemExit(f"{where}: not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(row, dict):
        raise SystemExit(f"{where}: expected a JSON object, got {line[:40]}")
    missing = sorted(fields - row.keys())
    if missing:
        raise SystemExit(f"{where}: no field {missing[0]!r}, which a template names; it has "
                         f"{', '.join(row) or 'none'}")
    return {name: flat(row[name], f"{where}, field {name!r}") for name in fields}


def tsv_fields(line, where, columns):
    cells = line.split("\t")
    if len(cells) != len(columns):
        raise SystemExit(f"{where}: expected {len(columns)} columns ({', '.join(columns)}), got "
                         f"{len(cells)}; --columns names them")
    return dict(zip(columns, cells))


def read_fields(path, columns, fields):
    """One dict per line that is not blank, of a .jsonl or .tsv file or a .gz of either.

    columns: names of a .tsv's columns. fields: those that templates name.
    """
    path = pathlib.Path(path)
    kind = pathlib.Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind not in (".jsonl", ".tsv"):
        raise SystemExit(f"{path}: expected a .jsonl or .tsv file, or a .gz of one")
    unknown = sorted(fields - set(columns))
    if kind == ".tsv" and unknown:
        raise SystemExit(f"{path}: a template names {unknown[0]!r}; --columns has "
                         f"{', '.join(columns)}")
    rows = []
    for number, line in enumerate(read_lines(path), start=1):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        rows.append(json_fields(line, where, fields) if kind == ".jsonl" else
                    tsv_fields(line, where, columns))
    return rows


def template_fields(template, option):
    """Names of the fields in braces; a template has nothing else in braces."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise SystemExit(f"{option} {template!r}: {error}; a literal brace is written twice"
                         ) from None
    for _, name, form, conversion in parts:
        if name is not None and (not name.isidentifier() or form or conversion):
            raise SystemExit(f"{option} {template!r}: expected names of fields in braces, as in "
                             f"{{source}}, got {{{name}{':' if form else ''}{form}}}; a literal "
                             "brace is written twice")
    return {name for _, name, _, _ in parts if name is not None}


class Examples:
    """(prompt ids, response ids with the end-of-text id) of all files, those that fit a block."""

    def __init__(self, paths, args, end_id):
        fields = (template_fields(args.prompt, "--prompt") |
                  template_fields(args.response, "--response"))
        rows = [row for path in paths
                for row in read_fields(path, args.columns.split(","), fields)]
        self.texts = [template.format(**row) for template in (args.prompt, args.response)
                      for row in rows]
        ids = tokenize(args.skipbench, args.model, self.texts) if rows else []
        pairs = [(prompt, response + [end_id])
                 for prompt, response in zip(ids[:len(rows)], ids[len(rows):])]
        self.without_prompt = sum(not prompt for prompt, _ in pairs)
        self.pairs = [(prompt, response) for prompt, response in pairs
                      if prompt and len(prompt) + len(response) <= args.block]
        self.left_out = len(pairs) - len(self.pairs) - self.without_prompt
        if not self.pairs:
            raise SystemExit(f"{', '.join(map(str, paths))}: no example to train on: {len(pairs)} "
                             f"lines, {self.without_prompt} of them with an empty prompt, "
                             f"{self.left_out} longer than --block {args.block} tokens")

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
