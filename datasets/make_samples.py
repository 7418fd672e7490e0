#!/usr/bin/env python3
"""Makes the samples in this folder and MANIFEST.md from the published files.

    datasets/make_samples.py [--from ../shared/data]

Needs Python 3.9 or later and nothing else. The selection is a pure function of the input files:
candidates are ordered by the SHA-256 of their text and a fixed salt, so that no library's random
generator is involved.
"""

import argparse
import collections
import gzip
import hashlib
import json
import pathlib
import unicodedata

HERE = pathlib.Path(__file__).resolve().parent
SALT = "skipbench-1"

# Most Tatoeba sentences have 4 to 8 words, too few for layers skipped while decoding to show in
# speed or in 4-gram precision. Each split therefore takes these shares by number of German words.
STRATA = ((4, 6, 0.20), (7, 10, 0.40), (11, 15, 0.25), (16, 25, 0.15))
MIN_WORDS, MAX_WORDS = 4, 25
TATOEBA_SIZES = (("test", 1200), ("valid", 500))
SCITLDR_SIZES = (("test", 100), ("dev", 50))

TATOEBA_SOURCE = "Tatoeba via manythings.org/anki, deu-eng of 2018-05-13"
SCITLDR_SOURCE = "allenai/scitldr@5ccad9c0 SciTLDR-Data/SciTLDR-A/{}.jsonl"


def order_key(text):
    return hashlib.sha256(f"{SALT}\t{text}".encode()).digest()


def folded(sentence):
    """What makes two sentences the same for us: letters and digits alone, case folded."""
    return "".join(c for c in unicodedata.normalize("NFKC", sentence).casefold() if c.isalnum())


def is_plain(sentence):
    """No space other than U+0020 (single), and no control, format or private character."""
    if sentence != " ".join(sentence.split(" ")).strip() or "  " in sentence:
        return False
    return all(c == " " or unicodedata.category(c)[0] in "LNPSM" for c in sentence)


def is_near_trivial(source, reference):
    """Copying the source, or one word over and over, would already score."""
    source_words = {folded(w) for w in source.split()}
    reference_words = {folded(w) for w in reference.split()}
    shared = len(source_words & reference_words)
    distinct = min(len(source_words), len(reference_words))
    return distinct < MIN_WORDS or 2 * shared >= distinct


def tatoeba_candidates(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        pairs = [line.rstrip("\n").split("\t")[:2] for line in file]
    count_en = collections.Counter(folded(en) for en, _ in pairs)
    count_de = collections.Counter(folded(de) for _, de in pairs)
    for en, de in pairs:
        # A sentence with several translations would be in the sample and in what is left for
        # training.
        if count_en[folded(en)] != 1 or count_de[folded(de)] != 1:
            continue
        words_de, words_en = len(de.split(" ")), len(en.split(" "))
        if not (MIN_WORDS <= words_de <= MAX_WORDS and MIN_WORDS <= words_en <= MAX_WORDS):
            continue
        if max(words_de, words_en) > 2 * min(words_de, words_en):
            continue
        if is_plain(de) and is_plain(en) and not is_near_trivial(de, en):
            yield de, en


def select_tatoeba(candidates):
    """Splits with no sentence in common: {"test": [(de, en)...], "valid": [...]}."""
    ordered = sorted(candidates, key=lambda pair: order_key("\t".join(pair)))
    splits = {}
    start = [0] * len(STRATA)
    for split, size in TATOEBA_SIZES:
        chosen = []
        for index, (low, high, share) in enumerate(STRATA):
            stratum = [p for p in ordered if low <= len(p[0].split(" ")) <= high]
            wanted = round(size * share)
            chosen += stratum[start[index]:start[index] + wanted]
            start[index] += wanted
        assert len(chosen) == size, f"{split}: only {len(chosen)} of {size} pairs"
        # Mixed lengths again, so that the first n lines are a sample like the whole.
        splits[split] = sorted(chosen, key=lambda pair: order_key("order\t" + "\t".join(pair)))
    return splits


def write_tatoeba(shared, rows):
    splits = select_tatoeba(tatoeba_candidates(shared / "mt-train/tatoeba/deu-eng.tsv.gz"))
    for split, pairs in splits.items():
        for column, language in enumerate(("de", "en")):
            path = HERE / "tatoeba-de-en" / f"{split}.{language}"
            path.write_bytes("".join(pair[column] + "\n" for pair in pairs).encode())
            rows.append((path, len(pairs), language, TATOEBA_SOURCE, "CC BY 2.0 FR"))


def write_scitldr(shared, rows):
    for split, size in SCITLDR_SIZES:
        published = shared / f"summ/scitldr-a/{split}.jsonl.gz"
        with gzip.open(published, "rt", encoding="utf-8", newline="\n") as file:
            papers = [json.loads(line) for line in file]
        papers.sort(key=lambda paper: order_key(paper["paper_id"]))
        kept = ("paper_id", "title", "source", "target")
        lines = [json.dumps({k: p[k] for k in kept if k in p}, ensure_ascii=False)
                 for p in papers[:size]]
        path = HERE / "scitldr" / f"{split}.jsonl.gz"
        with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
            file.write("".join(line + "\n" for line in lines).encode())
        rows.append((path, size, "en", SCITLDR_SOURCE.format(split), "Apache-2.0"))


MANIFEST_HEAD = """\
# Data sets in this folder

Text as published, UTF-8, one line per segment, LF; `.gz` is gzip. Made by
`datasets/make_samples.py`; `datasets/check_manifest` compares every file with this table. Each
folder's LICENSE.md names the authors and the changes made.

All sentences of `tatoeba-de-en/` are **held out**: whatever trains on Tatoeba leaves out every pair
whose German or English side is in these files (compare letters and digits only, case folded).

| path | lines | language | source | licence | sha256 of the file |
|---|---|---|---|---|---|
"""


def main():
    parser = argparse.ArgumentParser(
        description="Make the samples in datasets/ from the published files.")
    parser.add_argument("--from", dest="shared", type=pathlib.Path,
                        default=HERE.parent.parent / "shared" / "data",
                        help="folder that holds mt-train/tatoeba and summ/scitldr-a")
    shared = parser.parse_args().shared
    rows = []
    write_tatoeba(shared, rows)
    write_scitldr(shared, rows)
    table = MANIFEST_HEAD
    for path, lines, language, source, licence in rows:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        cells = (path.relative_to(HERE), lines, language, source, licence, digest)
        table += "| " + " | ".join(map(str, cells)) + " |\n"
    (HERE / "MANIFEST.md").write_bytes(table.encode())


if __name__ == "__main__":
    main()
