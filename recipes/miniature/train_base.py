"""Trains the miniature's base model from scratch: all layers, loss on the English side only.

    python -m recipes.miniature.train_base --data DIR --valid datasets/tatoeba-de-en --output RUN

Stopped at any moment, the same command goes on from RUN/checkpoint.pt and takes the same steps as
an undisturbed run. The learning rate stays constant after a warm-up, so that training may stop
whenever time is up: `--cooldown STEPS` goes on from the checkpoint, lets the rate fall to zero over
that many steps and ends with RUN/base, a folder that the engine loads.
"""

import argparse
import json
import os
import pathlib
import time

import torch
from torch.nn import functional as F

from recipes.miniature.bloom import Bloom, Shape
from recipes.miniature.export import write_checkpoint
from recipes.miniature.pairs import Pairs, read_split, read_tsv


class Run:
    """All state of a training run: what a checkpoint holds."""

    def __init__(self, args):
        torch.manual_seed(args.seed)
        self.args = args
        self.model = Bloom(Shape(), args.dropout)
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()}
        decayed = [p for p in self.model.parameters() if p.dim() >= 2]
        rest = [p for p in self.model.parameters() if p.dim() < 2]
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": args.weight_decay},
             {"params": rest, "weight_decay": 0.0}],
            lr=args.lr, betas=(0.9, 0.98), fused=True)
        self.step = self.epoch = self.batch = self.tokens = 0
        self.seconds = 0.0
        self.cooldown_from = None

    def rate(self):
        warm = min(1.0, (self.step + 1) / self.args.warmup)
        if self.cooldown_from is None:
            return self.args.lr * warm
        done = (self.step - self.cooldown_from) / self.args.cooldown
        return self.args.lr * warm * max(0.0, 1 - done ** 0.5)

    def finished(self):
        return (self.cooldown_from is not None
                and self.step - self.cooldown_from >= self.args.cooldown)

    def take_step(self, ids, scored, targets):
        rate = self.rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.args.bf16):
            logits = self.model(ids, scored)
        loss = F.cross_entropy(logits.float(), targets,
                               label_smoothing=self.args.label_smoothing)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        with torch.no_grad():
            keep = min(0.999, self.step / (self.step + 10))
            parameters = dict(self.model.named_parameters())
            torch._foreach_lerp_([self.average[k] for k in parameters],
                                 list(parameters.values()), 1 - keep)
        return float(loss.detach())

    def save(self, path):
        state = {name: getattr(self, name) for name in
                 ("average", "step", "epoch", "batch", "tokens", "seconds", "cooldown_from")}
        dropout = self.model.dropout
        state.update(model=self.model.state_dict(), optimiser=self.optimiser.state_dict(),
                     rng=torch.get_rng_state(), dropout=(dropout.pool, dropout.cuts))
        scratch = path.with_suffix(".tmp")
        torch.save(state, scratch)
        os.replace(scratch, path)

    def load(self, path):
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state.pop("model"))
        self.optimiser.load_state_dict(state.pop("optimiser"))
        self.model.dropout.pool, self.model.dropout.cuts = state.pop("dropout")
        torch.set_rng_state(state.pop("rng"))
        for name, value in state.items():
            setattr(self, name, value)


@torch.no_grad()
def validation_loss(model, pairs):
    """Mean loss in nats per response token, no smoothing, f32."""
    model.eval()
    total = count = 0
    for rows in pairs.epoch(0, 0, 3000):
        ids, scored, targets = pairs.batch(rows)
        total += float(F.cross_entropy(model(ids, scored), targets, reduction="sum"))
        count += len(targets)
    model.train()
    return total / count


def report(run, train_loss, valid, log_path):
    averaged = Bloom(Shape())
    averaged.load_state_dict(run.average)
    row = {"step": run.step, "epoch": round(run.epoch + run.batch / run.batches, 3),
           "tokens": run.tokens, "seconds": round(run.seconds), "rate": run.rate(),
           "train_loss": round(train_loss, 4),
           "valid_loss": round(validation_loss(run.model, valid), 4),
           "valid_loss_averaged": round(validation_loss(averaged, valid), 4)}
    with open(log_path, "a", encoding="utf-8") as log:
        log.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)


def train(run, pairs, valid, args):
    checkpoint, log_path = args.output / "checkpoint.pt", args.output / "log.jsonl"
    losses, last_save, last_report = [], time.monotonic(), run.step
    while not run.finished() and run.step != args.max_steps:
        batches = pairs.epoch(args.seed, run.epoch, args.batch_tokens)
        run.batches = len(batches)
        while run.batch < len(batches) and not run.finished() and run.step != args.max_steps:
            begin = time.monotonic()
            rows = batches[run.batch]
            losses.append(run.take_step(*pairs.batch(rows)))
            run.batch += 1
            run.tokens += int(pairs.lengths[rows].sum())
            run.seconds += time.monotonic() - begin
            if run.step - last_report >= args.report_steps or run.finished():
                report(run, sum(losses) / len(losses), valid, log_path)
                losses, last_report = [], run.step
            if time.monotonic() - last_save > args.save_seconds:
                run.save(checkpoint)
                last_save = time.monotonic()
        if run.batch == len(batches):
            run.epoch, run.batch = run.epoch + 1, 0
    run.save(checkpoint)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True,
                        help="folder made by recipes.miniature.prepare")
    parser.add_argument("--valid", type=pathlib.Path, required=True,
                        help="folder with valid.de and valid.en")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=400, help="steps")
    parser.add_argument("--cooldown", type=int, default=0,
                        help="steps to the end, starting at the checkpoint; 0: no end")
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--batch-tokens", type=int, default=3000)
    parser.add_argument("--bf16", action="store_true", help="products in bfloat16, weights in f32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-steps", type=int, default=-1)
    parser.add_argument("--report-steps", type=int, default=100)
    parser.add_argument("--save-seconds", type=float, default=120)
    return parser.parse_args()


def main():
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    args.output.mkdir(parents=True, exist_ok=True)
    tokenizer = args.data / "tokenizer.model"
    pairs = Pairs(tokenizer, read_tsv(args.data / "train.tsv"))
    valid = Pairs(tokenizer, read_split(args.valid, "valid"))
    run = Run(args)
    if (args.output / "checkpoint.pt").exists():
        run.load(args.output / "checkpoint.pt")
        print(f"going on at step {run.step}", flush=True)
    if run.cooldown_from is not None and not args.cooldown:
        raise SystemExit(f"{args.output}: the cooldown has begun; go on with --cooldown STEPS")
    if args.cooldown and run.cooldown_from is None:
        run.save(args.output / "before_cooldown.pt")
        run.cooldown_from = run.step
    train(run, pairs, valid, args)
    if run.finished():
        write_checkpoint(run.model.state_dict(), Shape(), args.data, args.output / "base")


if __name__ == "__main__":
    main()
