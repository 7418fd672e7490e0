"""Training text and vocabulary of the miniature: Tatoeba German-English without held-out sentences.

    python -m recipes.miniature.prepare --pairs .../deu-eng.tsv.gz --held-out datasets/tatoeba-de-en \
        --output DIR

Writes DIR/train.tsv (German TAB English), DIR/tokenizer.model, DIR/tokenizer_config.json and
DIR/prepared.json (counts and hashes). The result is a pure function of the inputs.
"""

import argparse
import gzip
import hashlib
import io
import json
import pathlib
import unicodedata

import sentencepiece

# Ends a prompt: "{source}<en>"; the response follows. A control piece: in a source text it is text.
SEPARATOR = "<en>"
UNKNOWN_ID, END_ID = 0, 1
MAX_WORDS = 60


def folded(sentence):
    """Letters and digits alone, case folded: the comparison that datasets/MANIFEST.md asks for."""
    return "".join(c for c in unicodedata.normalize("NFKC", sentence).casefold() if c.isalnum())


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def read_held_out(folder):
    """Folded sentences of both languages: what occurs on either side is held out on both."""
    sentences = set()
    for name in ("test.de", "test.en", "valid.de", "valid.en"):
        for line in (folder / name).read_text(encoding="utf-8").split("\n"):
            if folded(line):
                sentences.add(folded(line))
    return sentences


def select_pairs(path, held_out):
    """((german, english) pairs without doubles, number of pairs left out)."""
    seen, pairs, left_out = set(), [], 0
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            english, german = line.rstrip("\n").split("\t")[:2]
            if folded(german) in held_out or folded(english) in held_out:
                left_out += 1
                continue
            too_long = max(len(german.split()), len(english.split())) > MAX_WORDS
            if too_long or not german.strip() or not english.strip() or (german, english) in seen:
                continue
            seen.add((german, english))
            pairs.append((german, english))
    return pairs, left_out


def train_vocabulary(pairs, size):
    """Serialized sentencepiece unigram model of both languages."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentence for pair in pairs for sentence in pair),
        model_writer=model, vocab_size=size, model_type="unigram", character_coverage=0.9999,
        split_digits=True, unk_id=UNKNOWN_ID, eos_id=END_ID, bos_id=-1, pad_id=-1,
        control_symbols=[SEPARATOR], num_threads=1, minloglevel=1)
    return model.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=pathlib.Path, required=True, help="deu-eng.tsv.gz")
    parser.add_argument("--held-out", type=pathlib.Path, required=True,
                        help="folder with test.{de,en} and valid.{de,en}")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--pieces", type=int, default=4000)
    args = parser.parse_args()

    pairs, left_out = select_pairs(args.pairs, read_held_out(args.held_out))
    args.output.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{german}\t{english}\n" for german, english in pairs)
    (args.output / "train.tsv").write_text(text, encoding="utf-8", newline="\n")
    (args.output / "tokenizer.model").write_bytes(train_vocabulary(pairs, args.pieces))
    config = {"add_bos_token": False, "add_eos_token": False}
    (args.output / "tokenizer_config.json").write_text(json.dumps(config) + "\n")
    summary = {
        "pairs": len(pairs),
        "left_out_pairs": left_out,
        "source_sha256": sha256(args.pairs),
        "train_sha256": sha256(args.output / "train.tsv"),
        "tokenizer_sha256": sha256(args.output / "tokenizer.model"),
    }
    (args.output / "prepared.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    main()
