"""Token ids of sentence pairs, and batches of pairs of like length."""

import numpy
import sentencepiece
import torch

from recipes.miniature.prepare import END_ID, SEPARATOR


class Pairs:
    """Rows "German <en> English": inputs, which positions are scored, and their targets.

    The loss is on the response only: the separator predicts its first token, and so on up to the
    end-of-text token.
    """

    def __init__(self, tokenizer_path, pairs):
        processor = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer_path))
        separator = processor.piece_to_id(SEPARATOR)
        self.prompts = [ids + [separator] for ids in processor.encode([de for de, _ in pairs])]
        self.responses = processor.encode([en for _, en in pairs])
        self.lengths = numpy.array(
            [len(p) + len(r) for p, r in zip(self.prompts, self.responses)])

    def batch(self, rows):
        """(ids [b, t], scored [b, t], targets [n]) of the given rows, padded on the right."""
        length = max(self.lengths[row] for row in rows)
        ids = torch.full((len(rows), length), END_ID)
        scored = torch.zeros((len(rows), length), dtype=torch.bool)
        targets = []
        for i, row in enumerate(rows):
            prompt, response = self.prompts[row], self.responses[row]
            ids[i, :self.lengths[row]] = torch.tensor(prompt + response)
            scored[i, len(prompt) - 1:self.lengths[row]] = True
            targets += response + [END_ID]
        return ids, scored, torch.tensor(targets)

    def epoch(self, seed, epoch, batch_tokens):
        """The epoch's batches as lists of rows: a pure function of the arguments."""
        generator = numpy.random.default_rng((seed, epoch))
        order = generator.permutation(len(self.lengths))
        order = order[numpy.argsort(self.lengths[order], kind="stable")]
        batches, rows = [], []
        for row in order:
            # Lengths only grow, so this row's is the padded length of the batch.
            if rows and (len(rows) + 1) * self.lengths[row] > batch_tokens:
                batches.append(rows)
                rows = []
            rows.append(int(row))
        batches.append(rows)
        return [batches[i] for i in generator.permutation(len(batches))]


def read_tsv(path):
    """(German, English) pairs of a prepared train.tsv."""
    with open(path, encoding="utf-8", newline="\n") as file:
        return [tuple(line.rstrip("\n").split("\t")) for line in file]


def read_split(folder, split):
    """(German, English) pairs of a folder with SPLIT.de and SPLIT.en."""
    texts = [(folder / f"{split}.{side}").read_text(encoding="utf-8").splitlines()
             for side in ("de", "en")]
    return list(zip(*texts, strict=True))
