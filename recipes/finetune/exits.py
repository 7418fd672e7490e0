"""Early exit: the weighted loss that trains it, and the forward pass under its exit rule."""

import math

import torch
from torch.nn import functional as F

from recipes.finetune.forward import Pass, attend, run_layers, target_log_probs


def exit_loss(view, batch, plan, options, sampled=0):
    """Mean over exits, deeper ones weighted more, of the response's loss.

    Weights grow with the layer as in CALM (arXiv 2207.07061, section 3.2: w_i = i / sum of i). Each
    exit costs an evaluation of the head; with `sampled` > 0 only that many of the exits below the
    last layer are drawn, anew for each call, and stand for all of them.
    """
    exits = plan.rule.exits(plan.layers)
    total = sum(layer + 1 for layer in exits) + plan.layers
    drawn, scale = set(exits), 1.0
    if 0 < sampled < len(exits):
        drawn = {exits[i] for i in torch.randperm(len(exits))[:sampled].tolist()}
        scale = len(exits) / sampled
    targets = batch.targets[batch.scored]
    losses = []

    def add(layer, state, weight):
        loss = F.cross_entropy(state.logits(), targets, label_smoothing=options.label_smoothing)
        losses.append(weight * (layer + 1) / total * loss)

    def after_layer(layer, state):
        if layer in drawn:
            add(layer, state, scale)

    state = run_layers(view, batch, plan, options.dropout, after_layer)
    add(plan.layers - 1, state, 1.0)
    return sum(losses)


def confidence(rule, logits):
    """The rule's signal, one number per row of logits [..., vocabulary]."""
    if rule.signal == "cosine":
        raise ValueError("cosine is not a signal of logits")
    probabilities = logits.float().softmax(-1)
    if rule.signal == "entropy":
        entropy = -(probabilities * logits.float().log_softmax(-1)).sum(-1)
        return 1 - entropy / math.log(max(2, logits.shape[-1]))
    first, second = probabilities.topk(2, -1).values.unbind(-1)
    return first if rule.signal == "top_probability" else first - second


class RulePass(Pass):
    """A pass in which rows stop one by one. `running` [batch, columns]: still on their way."""

    def __init__(self, view, batch):
        super().__init__(view, batch)
        self.running = torch.ones_like(batch.valid)

    def run_layer(self, layer, project):
        before = self.x
        normed = self.view.attention_norm(layer, before)
        query, key, value = self.view.project(layer, normed, self.context)
        bias = self.bias(self.view.window(layer))
        if not project:
            itself = torch.eye(self.columns, dtype=torch.bool, device=bias.device)
            present = self.running[:, None, None, :] | itself
            bias = bias.masked_fill(~present, float("-inf"))
        self.add(layer, attend(query, key, value, bias), before, normed, None)
        self.mlp(layer, range(self.columns))
        self.x = torch.where(self.running[..., None], self.x, before)


@torch.no_grad()
def rule_log_probs(view, batch, plan):
    """(log p of the targets [batch, steps + 1], layers run [batch, steps + 1]) under the rule."""
    rule, prompt = plan.rule, batch.prompt
    state = RulePass(view, batch)
    layers_run = torch.zeros(batch.ids.shape, device=batch.ids.device)
    exits = set(rule.exits(plan.layers)) if rule.threshold < 1 or rule.decay_tau else set()
    thresholds = torch.tensor([rule.threshold_at(step) for step in range(batch.steps)],
                              device=batch.ids.device)
    for layer in range(plan.layers):
        state.run_layer(layer, rule.project)
        layers_run += state.running
        if layer in exits:
            sure = confidence(rule, view.logits(state.x[:, prompt:])) > thresholds
            state.running[:, prompt:] &= ~sure
    log_probs = torch.zeros(batch.targets.shape, device=batch.ids.device)
    log_probs[batch.scored] = target_log_probs(state.logits(), batch)
    return log_probs, layers_run[:, prompt - 1:]
