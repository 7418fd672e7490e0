"""A batch with one column per decoding step: prompts end, and responses begin, in one column."""

import dataclasses

import torch


@dataclasses.dataclass
class Batch:
    """Prompts padded on the left, responses on the right.

    Column prompt + t holds generated token t of every row, so that a step's layers are a column's.
    The last prompt column predicts token 0; a response's last token is only predicted.
    """

    ids: torch.Tensor        # [batch, columns]
    valid: torch.Tensor      # [batch, columns], false for padding
    positions: torch.Tensor  # [batch, columns], 0 on padding
    targets: torch.Tensor    # [batch, steps + 1], predicted by the columns from prompt - 1 on
    scored: torch.Tensor     # [batch, steps + 1], false for padding
    prompt: int              # columns of prompts

    @property
    def steps(self):
        return self.ids.shape[1] - self.prompt

    def to(self, device):
        moved = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return Batch(**{name: part.to(device) if torch.is_tensor(part) else part
                        for name, part in moved.items()})


def make_batch(examples, pad=0):
    """examples: (prompt ids, response ids) with at least one id each."""
    prompt = max(len(p) for p, _ in examples)
    longest = max(len(r) for _, r in examples)
    columns = prompt + longest - 1
    ids = torch.full((len(examples), columns), pad)
    valid = torch.zeros((len(examples), columns), dtype=torch.bool)
    targets = torch.full((len(examples), longest), pad)
    scored = torch.zeros((len(examples), longest), dtype=torch.bool)
    for row, (p, r) in enumerate(examples):
        begin, end = prompt - len(p), prompt + len(r) - 1
        ids[row, begin:end] = torch.tensor(p + r[:-1])
        valid[row, begin:end] = True
        targets[row, :len(r)] = torch.tensor(r)
        scored[row, :len(r)] = True
    positions = (valid.cumsum(1) - 1).clamp(min=0)
    return Batch(ids, valid, positions, targets, scored, prompt)
