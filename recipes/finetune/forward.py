"""The forward pass with skipping: what the engine computes when it decodes, for all steps at once.

Prompt columns run the prefill's layers. The column of generated token t runs the layers of step t;
at a layer that it skips its hidden state passes through and it leaves no key and value, so that
later columns attend at each layer to the prompt and to the columns that ran that layer.
"""

import torch
from torch.nn import functional as F


class Pass:
    """One batch on its way through the layers."""

    def __init__(self, view, batch, dropout=0.0):
        self.view, self.batch, self.dropout = view, batch, dropout
        self.columns = batch.ids.shape[1]
        self.x = view.embed(batch.ids)
        self.context = view.context(self.x, batch.positions)
        self.biases = {}

    def bias(self, window, columns=None):
        """Added to the scores, [batch, heads or 1, q, k]: ALiBi, and -inf for what is not seen."""
        key = (window, None if columns is None else tuple(columns))
        if key not in self.biases:
            valid, device = self.batch.valid, self.x.device
            at = torch.arange(self.columns, device=device)
            if columns is not None:
                at = torch.tensor(columns, device=device)
                valid = valid[:, at]
            # Within a row, columns are as far apart as positions.
            distance = (at[None, :] - at[:, None]).float()
            seen = distance <= 0
            if window:
                seen = seen & (distance > -window)
            # A padding column sees itself, lest its softmax has nothing to add up.
            seen = (seen & valid[:, None, :]) | (distance == 0)
            bias = torch.zeros((), device=device).where(seen[:, None], float("-inf"))
            alibi = self.view.bias(distance)
            self.biases[key] = bias if alibi is None else bias + alibi
        return self.biases[key]

    def attention(self, layer, columns):
        """Runs a layer's attention on the given columns (ascending); the others pass through."""
        if not columns:
            return
        everything = len(columns) == self.columns
        chosen = None if everything else columns
        x = self.x if everything else self.x[:, columns]
        context = self.context if everything else self.view.select(self.context, columns)
        normed = self.view.attention_norm(layer, x)
        query, key, value = self.view.project(layer, normed, context)
        mixed = attend(query, key, value, self.bias(self.view.window(layer), chosen))
        self.add(layer, mixed, x, normed, chosen)

    def add(self, layer, mixed, x, normed, chosen):
        residual = normed if self.view.residual_after_norm else x
        self.put(residual + self.drop(self.view.attention_output(layer, mixed)), chosen)

    def mlp(self, layer, columns):
        if not columns:
            return
        everything = len(columns) == self.columns
        x = self.x if everything else self.x[:, columns]
        normed = self.view.mlp_norm(layer, x)
        residual = normed if self.view.residual_after_norm else x
        widened = self.drop(self.view.mlp(layer, normed))
        self.put(residual + widened, None if everything else columns)

    def put(self, value, columns):
        if columns is not None:
            at = torch.tensor(columns, device=value.device)
            value = self.x.to(value.dtype).index_copy(1, at, value)
        self.x = value

    def drop(self, branch):
        return F.dropout(branch, self.dropout, self.dropout > 0)

    def logits(self):
        """[n, vocabulary] in f32 of the batch's n scored places, row by row."""
        return self.view.logits(self.x[:, self.batch.prompt - 1:][self.batch.scored]).float()


def is_fused(query):
    """Whether PyTorch's fused attention runs: on a GPU. On a CPU it takes several times as long."""
    return query.is_cuda


def attend(query, key, value, bias):
    """[batch, columns, heads * head_dim] of [batch, heads, columns, head_dim] and an added bias."""
    batch, heads, columns, head_dim = query.shape
    if is_fused(query):
        mixed = F.scaled_dot_product_attention(query, key, value, bias.to(query.dtype))
    else:
        # Spelled out, and in f32.
        with torch.autocast("cpu", enabled=False):
            query, key, value = (part.float().reshape(batch * heads, columns, -1)
                                 for part in (query, key, value))
            bias = bias.expand(batch, heads, -1, -1).reshape(batch * heads, columns, columns)
            scores = torch.baddbmm(bias, query, key.transpose(1, 2), alpha=head_dim ** -0.5)
            mixed = torch.bmm(scores.softmax(-1), value)
        mixed = mixed.view(batch, heads, columns, -1)
    return mixed.transpose(1, 2).reshape(batch, columns, -1)


def run_layers(view, batch, plan, dropout=0.0, after_layer=None):
    """Runs all layers of an input-independent plan; `after_layer(layer, pass)` is called after each
    but the last. Returns the pass."""
    state = Pass(view, batch, dropout)
    for layer in range(plan.layers):
        for kind in ("attention", "mlp"):
            getattr(state, kind)(layer, plan.columns(kind, layer, batch.prompt, batch.steps))
        if after_layer is not None and layer + 1 < plan.layers:
            after_layer(layer, state)
    return state


def target_log_probs(logits, batch):
    """log p of every scored target, [n] in nats."""
    targets = batch.targets[batch.scored]
    return logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
