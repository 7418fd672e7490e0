#!/usr/bin/env python3
"""Writes fixtures/*.json: made-up texts with what the Python references say about them.

Needs sacrebleu 2.6.0, rouge-score 0.1.2 and nltk. Run: python3 make_metric_fixtures.py
Every text is made here, from the word lists below or from random code points.
"""
import json
import os
import random

from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.tokenizers.tokenizer_ter import TercomTokenizer

RNG = random.Random(20221)
TOKENIZERS = ["13a", "zh", "intl", "char", "none"]
ROUGE_TYPES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]

EN = ("the a skipping layers model decodes faster slower tokens and but while quality falls rises "
      "at 3.14 1,000 2-3 times e.g. U.S. (maybe) \"quoted\" it's don't 50% $5.00 x_y a/b <b> &amp; "
      "running happily relational conditional , . ! ? ; :").split()
DE = ("die der das Straße Äpfel übersetzt größer „schnell“ und aber 3,5 1.000 km/h Modell-Größe "
      "fällt – steigt … ? ! .").split()
ZH = list("模型跳过层解码更快质量下降上升，。！？“”—…、（）3.5公里ABC")
ALPHABETS = [
    [chr(c) for c in range(0x20, 0x7F)],
    list("a b.c,d-1 2.3,4-5 .,-&;<>\"'\t\n"),
    [chr(c) for c in range(0xA0, 0x530)],
    [chr(c) for c in list(range(0x1FFF, 0x2080)) + list(range(0x2A60, 0x2A80))],
    [chr(c) for c in list(range(0x2E7E, 0x3400, 3)) + [0x4DB5, 0x4DB6, 0x9FBB, 0x9FBC, 0xFA2E]],
    [chr(c) for c in list(range(0xFE00, 0x10000)) + [0x1F600, 0x20000, 0x2A6D6, 0x1D7CE, 0x10FFFF]],
    list("Σσς aA.'\u0301\u00b7\u0130I\u212aK1ΑΒ") + ["&quot;", "&lt;", "<skipped>", "-\n"],
    list(" \x1c\x1f\x85\xa0\u1680\u2000\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeffab"),
]


def random_text(alphabet, length):
    return "".join(RNG.choice(alphabet) for _ in range(length))


def sentence(words, joiner):
    return joiner.join(RNG.choice(words) for _ in range(RNG.randint(1, 30)))


def spoiled(text, joiner):
    """A translation of the same thing: some words dropped, doubled or swapped."""
    words = text.split(joiner) if joiner else list(text)
    out = []
    for word in words:
        out += [word] * RNG.choice([0, 1, 1, 1, 1, 1, 2])
    if len(out) > 3:
        i = RNG.randrange(len(out) - 1)
        out[i], out[i + 1] = out[i + 1], out[i]
    return joiner.join(out)


def token_cases():
    cases = []
    for alphabet in ALPHABETS:
        for length in [0, 1, 2, 3] + [RNG.randint(4, 40) for _ in range(24)]:
            text = random_text(alphabet, length)
            tokens = {t: BLEU(tokenize=t)._preprocess_segment(text).split() for t in TOKENIZERS}
            cases.append({"text": text, "lower": text.lower(), "tokens": tokens})
    return cases


def bleu_case(hypotheses, streams, **settings):
    metric = BLEU(**settings)
    score = metric.corpus_score(hypotheses, streams)
    stats = metric._extract_corpus_statistics(hypotheses, streams)
    return {"hypotheses": hypotheses, "references": streams, "settings": settings,
            "score": score.score, "signature": str(metric.get_signature()),
            "verbose": score._verbose, "stats": [[float(x) for x in row] for row in stats],
            "bp": score.bp, "precisions": score.precisions}


def bleu_cases():
    cases = []
    for words, joiner, tokenizers in ((EN, " ", ["13a", "intl", "none"]), (DE, " ", ["13a", "intl"]),
                                      (ZH, "", ["zh", "char"])):
        hypotheses = [sentence(words, joiner) for _ in range(12)]
        first = [spoiled(h, joiner) for h in hypotheses]
        second = [spoiled(h, joiner) for h in hypotheses]
        hypotheses[5] = ""
        for tokenizer in tokenizers:
            cases.append(bleu_case(hypotheses, [first], tokenize=tokenizer))
            cases.append(bleu_case(hypotheses, [second, first], tokenize=tokenizer))
        cases.append(bleu_case(hypotheses, [first], tokenize=tokenizers[0], lowercase=True))
        cases.append(bleu_case(hypotheses, [first], tokenize=tokenizers[0], max_ngram_order=6))
    short = ["a b", "c d e", "x", "the model"], [["a b c", "c e d", "x", "model the"]]
    for method, value in (("exp", None), ("none", None), ("floor", None), ("floor", 0.01),
                          ("add-k", None), ("add-k", 2.5)):
        for effective in (False, True):
            cases.append(bleu_case(*short, smooth_method=method, smooth_value=value,
                                   effective_order=effective))
            cases.append(bleu_case(["b a", "zz"], [["a b", "yy xx"]], smooth_method=method,
                                   smooth_value=value, effective_order=effective))
    cases.append(bleu_case([""], [["a"]]))
    cases.append(bleu_case(["a"], [[""]]))
    cases.append(bleu_case(["q"], [["a"]]))
    cases.append(bleu_case(["a b c d e"], [["a b c d"], ["a b c d e f"]]))  # equally close lengths
    cases.append(bleu_case(["a b c d e"], [["a b c d e f"], ["a b c d"]]))
    return cases


def metric_case(metric, hypotheses, streams, settings):
    score = metric(**settings).corpus_score(hypotheses, streams)
    scored = metric(**settings)
    stats = scored._extract_corpus_statistics(hypotheses, streams)
    scored.corpus_score(hypotheses, streams)
    return {"hypotheses": hypotheses, "references": streams, "settings": settings,
            "name": score.name, "score": score.score, "signature": str(scored.get_signature()),
            "stats": [[int(x) if x == int(x) else float(x) for x in row] for row in stats]}


def corpora():
    """(hypotheses, reference streams): words moved about in blocks, for TER's shifts."""
    rng = random.Random(77)
    found = []
    for words, joiner in ((EN, " "), (DE, " "), (ZH, "")):
        hypotheses = [sentence(words, joiner) for _ in range(10)] + ["", "x", " (a) \"b\" 'c.' ..",
                                                                    "a\u00a0b\u3000c  d\t"]
        streams = []
        for _ in range(3):
            stream = []
            for hypothesis in hypotheses:
                parts = spoiled(hypothesis, joiner)
                parts = parts.split(joiner) if joiner else list(parts)
                for _ in range(rng.randint(0, 3)):
                    if len(parts) < 3:
                        break
                    start = rng.randrange(len(parts))
                    block = parts[start:start + rng.randint(1, 5)]
                    del parts[start:start + len(block)]
                    target = rng.randint(0, len(parts))
                    parts[target:target] = block
                stream.append(joiner.join(parts))
            streams.append(stream)
        streams[1][3] = ""
        found.append((hypotheses, streams))
    for length, letters in ((40, "ab"), (120, "abcde"), (60, "abcdefghijklmnopq")):
        hypotheses = [" ".join(rng.choice(letters) for _ in range(rng.randint(1, length)))
                      for _ in range(6)]
        found.append((hypotheses, [[" ".join(rng.choice(letters) for _ in range(length))
                                    for _ in hypotheses]]))
    found.append((["a b c"], [[" ".join("abcdefgh"[i % 8] for i in range(300))]]))
    found.append(([" ".join("abcdefgh"[i % 7] for i in range(300))], [["a b c d"]]))
    return found


def chrf_cases():
    return [metric_case(CHRF, hypotheses, streams, settings)
            for hypotheses, references in corpora()
            for streams in (references, references[:1], references[::-1])
            for settings in ({}, {"word_order": 2}, {"word_order": 1, "beta": 1},
                             {"char_order": 3, "beta": 3, "lowercase": True},
                             {"whitespace": True}, {"eps_smoothing": True, "word_order": 2})]


def ter_cases():
    return [metric_case(TER, hypotheses, streams, settings)
            for hypotheses, references in corpora()
            for streams in ((references[:1], references) if len(references) > 1 else
                            (references,))
            for settings in ({}, {"normalized": True}, {"no_punct": True},
                             {"normalized": True, "asian_support": True, "case_sensitive": True},
                             {"no_punct": True, "asian_support": True},
                             {"normalized": True, "no_punct": True, "asian_support": True})]


def ter_token_cases():
    rng = random.Random(78)
    cases = []
    for alphabet in ALPHABETS + [list("ぁあん ァア々、。・「」！（）３ab's -\n&") + ["&amp;", "'s ", "\n-"]]:
        for _ in range(12):
            text = "".join(rng.choice(alphabet) for _ in range(rng.randint(0, 30)))
            tokens = [TercomTokenizer(normalized=bool(mask & 1), no_punct=bool(mask & 2),
                                      asian_support=bool(mask & 4),
                                      case_sensitive=bool(mask & 8))(text.rstrip()).split()
                      for mask in range(16)]
            cases.append({"text": text, "tokens": tokens})
    return cases


def rouge_cases():
    scorers = {s: RougeScorer(ROUGE_TYPES, use_stemmer=s) for s in (False, True)}
    pairs = [("", ["a"]), ("a", [""]), ("...", ["a b"]), ("\n\n", ["a\nb"]), ("b a", ["a b"]),
             ("İstanbul K", ["i stanbul k"]), ("a b a b a", ["b a b a b\na a a\n\nb b"])]
    for _ in range(30):
        lines = [sentence(EN, " ") for _ in range(RNG.randint(1, 4))]
        references = []
        for _ in range(RNG.choice([1, 1, 2, 3])):
            copy = [spoiled(line, " ") for line in lines]
            RNG.shuffle(copy)
            references.append("\n".join(copy))
        pairs.append(("\n".join(lines), references))
    for length in (63, 64, 65, 129, 200):  # the word sizes of a bit-parallel LCS
        pairs.append((" ".join(random_text("abc", length)), [" ".join(random_text("abcd", 130))]))
        pairs.append(("\n".join(" ".join(random_text("ab", length)) for _ in range(3)),
                      ["\n".join(" ".join(random_text("abc", 70)) for _ in range(2))]))
    cases = []
    for hypothesis, references in pairs:
        for stemmer, scorer in scorers.items():
            scores = scorer.score_multi(references, hypothesis)
            cases.append({"hypothesis": hypothesis, "references": references, "stemmer": stemmer,
                          "values": [list(map(float, scores[t])) for t in ROUGE_TYPES]})
    return cases


def stem_cases():
    endings = ("", "s", "es", "ies", "sses", "ss", "ed", "ied", "eed", "ing", "y", "ly", "ational",
               "tional", "enci", "anci", "izer", "bli", "alli", "entli", "eli", "ousli", "ization",
               "ation", "ator", "alism", "iveness", "fulness", "ousness", "aliti", "iviti",
               "biliti", "fulli", "logi", "logy", "icate", "ative", "alize", "iciti", "ical",
               "ful", "ness", "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement",
               "ment", "ent", "ion", "sion", "tion", "ou", "ism", "ate", "iti", "ous", "ive", "ize",
               "e", "ll", "lle", "ically", "fully")
    starts = ("", "a", "y", "b", "by", "sky", "to", "tro", "oy", "yy", "hopp", "fall", "fizz",
              "fil", "troubl", "conflat", "siz", "x9y", "geo", "rel", "contr", "pro", "12", "aw")
    words = sorted({s + e for s in starts for e in endings} - {""})
    irregular = ("sky skies dying lying tying news innings inning outings outing cannings canning "
                 "howe proceed exceed succeed").split()
    stemmer = PorterStemmer()
    return [[word, stemmer.stem(word)] for word in words + irregular]


def main():
    data = {"tokens": token_cases(), "bleu": bleu_cases(), "rouge": rouge_cases(),
            "stems": stem_cases()}
    write("metrics.json", data)
    write("chrf_ter.json", with_shared_corpora(
        {"chrf": chrf_cases(), "ter": ter_cases(), "ter_tokens": ter_token_cases()}))


def with_shared_corpora(data):
    """Each corpus once, and its number in the cases."""
    corpora_seen = []
    for case in data["chrf"] + data["ter"]:
        corpus = {key: case.pop(key) for key in ("hypotheses", "references")}
        if corpus not in corpora_seen:
            corpora_seen.append(corpus)
        case["corpus"] = corpora_seen.index(corpus)
    return {"corpora": corpora_seen, **data}


def write(name, data):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures", name)
    with open(path, "w", encoding="utf-8") as out:
        out.write("{\n")
        for i, (key, cases) in enumerate(data.items()):
            rows = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
            out.write(f'"{key}": [\n{rows}\n]{"," if i + 1 < len(data) else ""}\n')
        out.write("}\n")


if __name__ == "__main__":
    main()
