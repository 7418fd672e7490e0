"""A BLOOM in plain PyTorch, compact and quick for narrow models on one core.

Parameters are named and shaped as in transformers' BloomForCausalLM, so that `state_dict` is what
a checkpoint holds. Sequences are padded on the right: causal attention keeps padding from every
real position, and ALiBi needs no position ids.
"""

import dataclasses
import math

import torch
from torch import nn
from torch.nn import functional as F

EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class Shape:
    vocab: int = 4000
    hidden: int = 128
    layers: int = 30
    heads: int = 4


def alibi_slopes(heads):
    """Slopes of ALiBi (arXiv 2108.12409) as BLOOM has them, for any number of heads."""
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8.0 * (i + 1) / power) for i in range(power)]
    extra = [2.0 ** (-4.0 * (2 * i + 1) / power) for i in range(heads - power)]
    return torch.tensor(slopes + extra)


def attention_bias(slopes, length):
    """[1, heads, length, length]: ALiBi below and on the diagonal, -inf above it."""
    position = torch.arange(length)
    distance = (position[None, :] - position[:, None]).to(torch.float32)
    bias = slopes[:, None, None] * distance
    return bias.masked_fill(distance > 0, float("-inf"))[None]


class Dropout:
    """Inverted dropout with masks cut from a pool of random bits at random places.

    Drawing one bit per activation costs an eighth of a training step here; a pool drawn anew every
    `RENEW` cuts costs next to nothing, and two cuts of it share no alignment.
    """

    SIZE, RENEW = 1 << 22, 61 * 16

    def __init__(self, probability):
        self.probability = probability
        self.cuts = 0
        self.pool = None

    def __call__(self, x, training):
        if not training or self.probability == 0:
            return x
        if self.cuts % self.RENEW == 0:
            keep = 1 - self.probability
            self.pool = torch.empty(max(self.SIZE, 2 * x.numel())).bernoulli_(keep).div_(keep)
        self.cuts += 1
        begin = int(torch.randint(len(self.pool) - x.numel(), ()))
        return x * self.pool[begin:begin + x.numel()].view(x.shape)


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.heads = shape.heads
        self.query_key_value = nn.Linear(shape.hidden, 3 * shape.hidden)
        self.dense = nn.Linear(shape.hidden, shape.hidden)

    def forward(self, x, bias):
        batch, length, hidden = x.shape
        # Products over heads this small are several times faster spelled out, and in f32, than by
        # PyTorch's fused attention on a CPU (measured, 25 positions, heads of 32).
        fused = self.query_key_value(x).float().view(batch, length, self.heads, 3, -1)
        rows = fused.permute(3, 0, 2, 1, 4).reshape(3, batch * self.heads, length, -1)
        query, key, value = rows.unbind(0)
        with torch.autocast("cpu", enabled=False):
            bias = bias.expand(batch, -1, -1, -1).reshape(batch * self.heads, length, length)
            scale = query.shape[-1] ** -0.5
            scores = torch.baddbmm(bias, query, key.transpose(1, 2), alpha=scale)
            mixed = torch.bmm(scores.softmax(-1), value)
        mixed = mixed.view(batch, self.heads, length, -1).transpose(1, 2)
        return self.dense(mixed.reshape(batch, length, hidden))


class Mlp(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.dense_h_to_4h = nn.Linear(shape.hidden, 4 * shape.hidden)
        self.dense_4h_to_h = nn.Linear(4 * shape.hidden, shape.hidden)

    def forward(self, x):
        return self.dense_4h_to_h(F.gelu(self.dense_h_to_4h(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, shape, dropout):
        super().__init__()
        self.dropout = dropout
        self.input_layernorm = nn.LayerNorm(shape.hidden, eps=EPSILON)
        self.self_attention = Attention(shape)
        self.post_attention_layernorm = nn.LayerNorm(shape.hidden, eps=EPSILON)
        self.mlp = Mlp(shape)

    def forward(self, x, bias):
        attended = self.self_attention(self.input_layernorm(x), bias)
        x = x + self.dropout(attended, self.training)
        widened = self.mlp(self.post_attention_layernorm(x))
        return x + self.dropout(widened, self.training)


class Transformer(nn.Module):
    def __init__(self, shape, dropout):
        super().__init__()
        self.word_embeddings = nn.Embedding(shape.vocab, shape.hidden)
        self.word_embeddings_layernorm = nn.LayerNorm(shape.hidden, eps=EPSILON)
        self.h = nn.ModuleList(Block(shape, dropout) for _ in range(shape.layers))
        self.ln_f = nn.LayerNorm(shape.hidden, eps=EPSILON)


class Bloom(nn.Module):
    def __init__(self, shape, dropout=0.0):
        super().__init__()
        self.shape = shape
        self.dropout = Dropout(dropout)
        self.transformer = Transformer(shape, self.dropout)
        self.register_buffer("slopes", alibi_slopes(shape.heads), persistent=False)
        self.initialise()

    def initialise(self):
        """Unit-gain layers; the ends of residual branches are smaller, so that the sum over 2N of
        them starts near the embedding's own size (GPT-2, section 2.3)."""
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue
            fan_in = parameter.shape[1]
            std = fan_in ** -0.5
            if name.endswith(("dense.weight", "dense_4h_to_h.weight")):
                std /= math.sqrt(2 * self.shape.layers)
            nn.init.normal_(parameter, std=0.05 if "embeddings" in name else std)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, ids, scored):
        """Logits [n, vocab] of the n places where `scored` [batch, length] is true."""
        model = self.transformer
        x = model.word_embeddings_layernorm(model.word_embeddings(ids))
        x = self.dropout(x, self.training)
        bias = attention_bias(self.slopes, ids.shape[1])
        for block in model.h:
            x = block(x, bias)
        return F.linear(model.ln_f(x[scored]), model.word_embeddings.weight)
