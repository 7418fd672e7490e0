"""The training loop: checkpointed, resumable, the same steps whether interrupted or not."""

import math
import os
import pickle
import time

import torch
from torch.nn import functional as F

from recipes.finetune.batch import make_batch
from recipes.finetune.curve import write_curve
from recipes.finetune.exits import exit_loss
from recipes.finetune.forward import run_layers


class Training:
    def __init__(self, model, view, plan, train, valid, args, folder):
        self.model, self.view, self.plan, self.args = model, view, plan, args
        self.folder = folder
        self.train_examples, self.valid_examples = train, valid
        self.trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.optimiser = torch.optim.AdamW(
            self.trained.values(), lr=args.lr, betas=(0.9, args.beta2),
            weight_decay=args.weight_decay)
        per_epoch = len(train.batches(args.seed, 0, args.batch_tokens))
        self.total = args.steps or math.ceil(args.epochs * per_epoch)
        self.step = self.epoch = self.batch = self.tokens = 0
        self.seconds = 0.0
        self.losses = []  # since the last report

    def rate(self):
        """Linear warm-up, then a cosine to zero."""
        warmup = max(1, round(self.args.warmup * self.total))
        if self.step < warmup:
            return self.args.lr * (self.step + 1) / warmup
        done = (self.step - warmup) / max(1, self.total - warmup)
        return self.args.lr * 0.5 * (1 + math.cos(math.pi * done))

    def loss(self, examples, training=True):
        """Mean loss over the responses' tokens, and how many these are."""
        batch = make_batch(examples).to(self.args.device)
        options = self.args if training else Evaluation
        with torch.autocast(torch.device(self.args.device).type, torch.bfloat16,
                            enabled=self.args.bf16 and training):
            if self.plan.rule is not None:
                loss = exit_loss(self.view, batch, self.plan, options,
                                 self.args.exit_samples if training else 0)
            else:
                logits = run_layers(self.view, batch, self.plan, options.dropout).logits()
                loss = F.cross_entropy(logits, batch.targets[batch.scored],
                                       label_smoothing=options.label_smoothing)
        return loss, int(batch.scored.sum())

    def take_step(self, examples):
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        loss, _ = self.loss(examples)
        self.optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.trained.values(), self.args.clip)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            raise SystemExit(f"step {self.step + 1}: loss {float(loss):g}, norm of the gradient "
                             f"{float(norm):g}; expected finite numbers: try a lower --lr (it is "
                             f"{self.args.lr:g}) or a longer --warmup")
        self.optimiser.step()
        self.step += 1
        self.tokens += sum(len(prompt) + len(response) for prompt, response in examples)
        return float(loss.detach())

    @torch.no_grad()
    def validate(self):
        if self.valid_examples is None:
            return None
        self.model.eval()
        total = count = 0
        for examples in self.valid_examples.batches(0, 0, self.args.batch_tokens):
            loss, tokens = self.loss(examples, training=False)
            total, count = total + float(loss) * tokens, count + tokens
        self.model.train()
        return total / count

    def report(self, train_loss):
        row = {"step": self.step, "of": self.total, "epoch": self.epoch, "tokens": self.tokens,
               "seconds": round(self.seconds), "rate": self.rate(), "train_loss": train_loss,
               "valid_loss": self.validate()}
        self.folder.log(row)
        write_curve(self.folder.rows(), self.args.output / "loss.svg")
        left = (self.total - self.step) * self.seconds / max(1, self.step)
        valid = "" if row["valid_loss"] is None else f", valid {row['valid_loss']:.4f}"
        shown = "-" if train_loss is None else f"{train_loss:.4f}"
        print(f"step {self.step}/{self.total}, loss {shown}{valid}, {left / 60:.0f} min left",
              flush=True)
        return row

    def run(self):
        """Trains to the end; returns the last report."""
        args, last_save = self.args, time.monotonic()
        logged = self.folder.rewind_log(self.step)
        row = logged[-1] if logged else self.report(None)
        while self.step < self.total:
            batches = self.train_examples.batches(args.seed, self.epoch, args.batch_tokens)
            while self.batch < len(batches) and self.step < self.total:
                begin = time.monotonic()
                self.losses.append(self.take_step(batches[self.batch]))
                self.batch += 1
                self.seconds += time.monotonic() - begin
                if self.step % args.report_steps == 0 or self.step == self.total:
                    row = self.report(sum(self.losses) / len(self.losses))
                    self.losses = []
                if time.monotonic() - last_save > args.save_seconds:
                    self.save()
                    last_save = time.monotonic()
            if self.batch == len(batches):
                self.epoch, self.batch = self.epoch + 1, 0
        self.save()
        return row

    def checkpoint_path(self):
        return self.args.output / "checkpoint.pt"

    def save(self):
        state = {name: getattr(self, name)
                 for name in ("step", "epoch", "batch", "tokens", "seconds", "losses")}
        state.update(weights={n: p.detach() for n, p in self.trained.items()},
                     optimiser=self.optimiser.state_dict(), rng=torch.get_rng_state())
        if torch.cuda.is_available():
            state["cuda_rng"] = torch.cuda.get_rng_state()
        scratch = self.checkpoint_path().with_suffix(".tmp")
        torch.save(state, scratch)
        os.replace(scratch, self.checkpoint_path())

    def resume(self):
        """Goes on from the checkpoint, if there is one (the folder's: of this run)."""
        if not self.checkpoint_path().exists():
            return
        try:
            state = torch.load(self.checkpoint_path(), weights_only=True, map_location="cpu")
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise SystemExit(f"{self.checkpoint_path()}: damaged ({str(error).splitlines()[0]}); "
                             "remove it to begin anew") from None
        with torch.no_grad():
            for name, value in state.pop("weights").items():
                self.trained[name].copy_(value)
        self.optimiser.load_state_dict(state.pop("optimiser"))
        torch.set_rng_state(state.pop("rng"))
        if "cuda_rng" in state:
            torch.cuda.set_rng_state(state.pop("cuda_rng"))
        for name, value in state.items():
            setattr(self, name, value)
        print(f"going on at step {self.step}", flush=True)


class Evaluation:
    """The regularisers' options when a loss is only measured."""

    dropout = 0.0
    label_smoothing = 0.0
