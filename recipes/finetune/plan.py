"""Which layers run: what `skipbench plan` prints. No rule of any strategy is written down here."""

import dataclasses
import json
import math

from recipes.finetune.engine import ask


@dataclasses.dataclass(frozen=True)
class Sublayers:
    """Which layers run their attention and their MLP."""

    attention: frozenset
    mlp: frozenset

    @staticmethod
    def parse(printed):
        if isinstance(printed, list):
            return Sublayers(frozenset(printed), frozenset(printed))
        return Sublayers(frozenset(printed["attention"]), frozenset(printed["mlp"]))


@dataclasses.dataclass(frozen=True)
class Rule:
    """Exit test of a dynamic strategy (strategies/strategy.h, SkipRule)."""

    signal: str
    min_layer: int
    interval: int
    threshold: float | None  # None: to be calibrated
    project: bool            # what an exited row leaves in the cache: projected entries, or none
    decay_tau: float = 0.0
    decay_length: int = 0

    def exits(self, layers):
        """Layers after which a row may stop; the last layer is not one of them."""
        return [layer for layer in range(self.min_layer - 1, layers - 1)
                if (layer + 1 - self.min_layer) % self.interval == 0]

    def threshold_at(self, step):
        if not self.decay_tau or not self.decay_length:
            return self.threshold
        fall = math.exp(-self.decay_tau * step / self.decay_length)
        return min(1.0, max(0.0, self.threshold * (0.9 + 0.1 * fall)))


@dataclasses.dataclass(frozen=True)
class Plan:
    """Layer sets of the prompt and of every decoding step."""

    layers: int
    prefill: Sublayers
    steps: tuple       # Sublayers per decoding step, from step 0
    rule: Rule | None

    def columns(self, kind, layer, prompt, responses):
        """Columns that run `kind` ("attention" or "mlp") of a layer.

        The first `prompt` columns hold prompts; column prompt + t holds the t-th generated token,
        which decoding step t takes in.
        """
        begin = list(range(prompt)) if layer in getattr(self.prefill, kind) else []
        return begin + [prompt + t for t in range(responses)
                        if layer in getattr(self.steps[t], kind)]


def print_plan(skipbench, layers, strategy, target, params, steps):
    return json.loads(ask(skipbench, [
        "plan", "--layers", layers, "--strategy", strategy, "--target", target, "--steps", steps,
        *[part for param in params for part in ("--param", param)]]))


def read_plan(skipbench, layers, strategy, target, params=(), steps=1):
    """The plan of a strategy as the engine has it. params: "KEY=VALUE" texts."""
    printed = print_plan(skipbench, layers, strategy, target, params, steps)
    if ("skip_scales" in printed or "speculation" in printed
            or printed.get("rule", {}).get("action", "stop") != "stop"):
        raise SystemExit(f"--strategy {strategy}: this recipe does not compute it; expected layers "
                         "that run or not (full, unified, skip_decode, fixed_exit, static_pruning, "
                         "random) or a row that stops (early_exit); it is made for models as they "
                         "are, so run it without an adapter")
    prefill = Sublayers.parse(printed["prefill"])
    if "rule" not in printed:
        sets = tuple(Sublayers.parse(step) for step in printed["steps"])
        return Plan(layers, prefill, sets, None)
    rule = printed["rule"]
    everything = Sublayers.parse(list(range(layers)))
    return Plan(layers, prefill, (everything,) * steps, Rule(
        signal=rule["signal"], min_layer=rule["min_layer"], interval=rule["exit_interval"],
        threshold=rule["threshold"], project=rule["kv"] == "project",
        decay_tau=rule.get("decay_tau", 0.0), decay_length=rule.get("decay_length", 0)))


def fit_expected_length(skipbench, layers, target, params, steps):
    """(parameters of skip_decode with an expected_length, what was found or "").

    Where none is given, the whole number of steps at which the mean number of layers over all
    decoding steps of the responses is nearest to the budget, as a sweep finds it on its calibration
    split. steps: of each response.
    """
    if any(param.startswith("expected_length=") for param in params):
        return list(params), ""

    def mean_layers(length):
        printed = print_plan(skipbench, layers, "skip_decode", target,
                             [*params, f"expected_length={length}"], max(1, *steps))
        counts = [len(step) for step in printed["steps"]]
        sums = [0]
        for count in counts:
            sums.append(sums[-1] + count)
        return sum(sums[n] for n in steps) / max(1, sum(steps)), printed["budget"]

    low, high = 2, 4 * max(2, *steps)
    while high - low > 1:
        middle = (low + high) // 2
        mean, budget = mean_layers(middle)
        low, high = (middle, high) if mean < budget else (low, middle)
    near = {length: mean_layers(length) for length in (low, high)}
    length = min(near, key=lambda one: abs(near[one][0] - near[one][1]))
    mean, budget = near[length]
    return [*params, f"expected_length={length}"], (
        f"expected_length={length}: {mean:.2f} layers per step of the responses, budget {budget}")
