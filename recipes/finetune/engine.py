"""What skipbench's program says: of a model, of texts, of a strategy's log-probs."""

import json
import subprocess


def ask(skipbench, arguments, text=None):
    """The program's standard output; ends with its own message where it fails."""
    command = [str(skipbench), *map(str, arguments)]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SystemExit(f"{skipbench}: {error.strerror}; expected the built program (`cmake "
                         "--build build/cpu-release`), or name it with --skipbench") from None
    if done.returncode != 0:
        raise SystemExit(done.stderr.strip() or f"{' '.join(command)} failed")
    return done.stdout


def inspect(skipbench, model):
    """`skipbench inspect`: the model as the engine reads it; ends where the engine refuses it."""
    return json.loads(ask(skipbench, ["inspect", "--frequencies", model]))


def tokenize(skipbench, model, texts):
    """Ids as the engine makes them of a prompt's text, special tokens recognised."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    printed = ask(skipbench, ["tokenize", "--model", model, "--json", "--parse-special", "--input",
                              "-"], lines)
    return [json.loads(line)["ids"] for line in printed.splitlines()]


def log_probs(skipbench, model, examples, strategy="full", target=1, params=(), threads=1):
    """([log p per token], [layers per token]) of each (prompt ids, response ids), teacher-forced.
    """
    lines = "".join(json.dumps({"prompt": p, "continuation": r}) + "\n" for p, r in examples)
    printed = ask(skipbench, ["logprobs", "--model", model, "--input", "-", "--strategy", strategy,
                              "--target", target, "--threads", threads,
                              *[part for param in params for part in ("--param", param)]], lines)
    rows = [json.loads(line) for line in printed.splitlines()]
    return [row["logprobs"] for row in rows], [row["layers_per_token"] for row in rows]
