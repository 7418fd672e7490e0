"""Wrong input ends with one clear message, and nothing that was trained is lost or mixed up.

    python -m recipes.tests.refusals [--skipbench build/cpu-release/skipbench]

Each case runs the command in a process of its own and compares its message; a traceback fails.
"""

import fcntl
import json
import pathlib
import subprocess
import sys

from recipes.tests.resume import test_folder


class Case:
    def __init__(self, folder, skipbench):
        self.folder, self.skipbench, self.failed, self.count = folder, skipbench, 0, 0

    def finetune(self, *more, output="out", data="train.jsonl", model="model"):
        """(exit status, what it printed); later options win over these."""
        command = [sys.executable, "-m", "recipes.finetune", "--model", self.folder / model,
                   "--data", self.folder / data, "--output", self.folder / output, "--skipbench",
                   self.skipbench, "--strategy", "unified", "--target", "2", "--steps", "3",
                   "--batch-tokens", "200", "--device", "cpu", *more]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        return done.returncode, done.stderr + done.stdout

    def expect(self, part, got, status=1):
        """`got`: of finetune."""
        self.count += 1
        code, text = got
        ok = part in text and "Traceback" not in text and (code == 0) == (status == 0)
        self.failed += not ok
        print(f"ok: {part}" if ok else f"FAILED: {part}\n  exit {code}: {text[-600:]}", flush=True)

    def write(self, name, content):
        data = content if isinstance(content, bytes) else content.encode()
        (self.folder / name).write_bytes(data)
        return name


def data_cases(case):
    good = '{"source": "a", "target": "b"}\n'
    for name, content, part in (
            ("nothing.jsonl", "", "no example to train on: 0 lines"),
            ("broken.jsonl", good + "{", "broken.jsonl:2: not JSON"),
            ("list.jsonl", "[1]\n", "list.jsonl:1: expected a JSON object"),
            ("null.jsonl", '{"source": "a", "target": null}\n', "null.jsonl:1, field 'target'"),
            ("bool.jsonl", '{"source": true, "target": "b"}\n', "got true"),
            ("field.jsonl", '{"source": "a"}\n', "field.jsonl:1: no field 'target'"),
            ("latin.jsonl", b'{"source": "\xe4", "target": "b"}\n', "latin.jsonl: not valid UTF-8"),
            ("half.jsonl", '{"source": "\\ud800", "target": "b"}\n', "half of a surrogate"),
            ("cut.jsonl.gz", b"\x1f\x8b\x08\x00", "cut.jsonl.gz: cannot be read"),
            ("plain.jsonl.gz", good, "plain.jsonl.gz: cannot be read"),
            ("wide.tsv", "a\tb\tc\n", "wide.tsv:1: expected 2 columns"),
            ("data.txt", good, "data.txt: expected a .jsonl or .tsv"),
            ("empty.jsonl", '{"source": "", "target": "b"}\n', "1 of them with an empty prompt")):
        case.expect(part, case.finetune(data=case.write(name, content)))
    case.expect("missing.jsonl: cannot be read", case.finetune(data="missing.jsonl"))
    case.expect("longer than --block 2", case.finetune("--block", "2"))
    for template in ("{source", "{0}", "{source.x}", "{source:d}"):
        case.expect("--prompt", case.finetune("--prompt", template))
    case.expect("no field 'nope'", case.finetune("--prompt", "{nope}"))
    for name, content in (("bom.jsonl", b"\xef\xbb\xbf" + good.encode()),
                          ("crlf.tsv", "a\tb\r\n\r\nc\td\r\n")):
        case.expect("step 3/3", case.finetune(data=case.write(name, content), output="of " + name),
                    status=0)


def argument_cases(case):
    for option, value in (("--lora-rank", "0"), ("--report-steps", "0"), ("--threads", "0"),
                          ("--seed", "-1"), ("--lr", "-1"), ("--lr", "nan"), ("--epochs", "0"),
                          ("--steps", "-3"), ("--warmup", "2"), ("--clip", "0"), ("--dropout", "1"),
                          ("--lora-alpha", "0"), ("--beta2", "1"), ("--label-smoothing", "2")):
        case.expect(f"{option}: expected", case.finetune(option, value))
    case.expect("not allowed with", case.finetune("--full", "--lora-rank", "16"))
    case.expect("--train-embeddings", case.finetune("--train-embeddings"))
    case.expect("--device foo", case.finetune("--device", "foo"))
    case.expect("/nowhere: No such file", case.finetune("--skipbench", "/nowhere"))
    case.expect("does not compute it", case.finetune("--strategy", "self_speculative"))
    case.expect("unknown strategy", case.finetune("--strategy", "nope"))
    case.expect("nowhere", case.finetune(model="nowhere"))
    case.expect("would be overwritten", case.finetune("--full", output="model"))
    case.write("file", "")
    case.expect("--output", case.finetune(output="file"))
    case.expect("expected finite numbers", case.finetune("--lr", "1e30", "--full", output="nan"))
    assert not (case.folder / "nan" / "finetune.json").exists()
    case.expect("expected_length=", case.finetune("--strategy", "skip_decode", output="skip"),
                status=0)


def folder_cases(case):
    case.expect("step 3/3", case.finetune(), status=0)
    case.expect("is finished", case.finetune(), status=0)
    case.expect("another strategy", case.finetune("--strategy", "fixed_exit"))
    case.expect("another lora_rank, full", case.finetune("--full"))
    case.write("other.jsonl", '{"source": "a", "target": "b"}\n')
    case.expect("another data", case.finetune(data="other.jsonl"))
    out = case.folder / "out"
    (out / "finetune.json").unlink()
    log = (out / "log.jsonl").read_text()
    (out / "log.jsonl").write_text(log[:-20])  # torn
    case.expect("going on at step 3", case.finetune(), status=0)
    lines = (out / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0]
    (out / "finetune.json").unlink()
    with open(out / "run.json", "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        case.expect("another run is writing there", case.finetune())
    (out / "checkpoint.pt").write_bytes(b"PK")
    case.expect("checkpoint.pt: damaged", case.finetune())
    (out / "run.json").unlink()
    case.expect("holds", case.finetune())


def gguf_cases(case):
    """tests/fixtures/tokenizer's GGUFs have a vocabulary alone, those of models no vocabulary; so
    --full is tried where there is a model with both."""
    smollm = pathlib.Path("models/smollm2-135m").resolve()
    if not smollm.exists():
        print("skipped: --full of a GGUF, which needs `scripts/fetch_model smollm2`")
        return
    case.expect("step 1/1", case.finetune("--model", smollm, "--full", "--steps", "1",
                                          output="gguf"), status=0)
    request = json.dumps("a <|im_start|> b") + "\n"
    ids = [subprocess.run([case.skipbench, "tokenize", "--model", model, "--json",
                           "--parse-special", "--input", "-"], input=request, text=True,
                          check=True, stdout=subprocess.PIPE).stdout
           for model in (smollm, case.folder / "gguf")]
    assert ids[0] == ids[1]
    subprocess.run([case.skipbench, "inspect", case.folder / "gguf"], check=True,
                   stdout=subprocess.DEVNULL)


def main():
    with test_folder(__doc__) as (folder, skipbench):
        case = Case(folder, skipbench)
        for group in (data_cases, argument_cases, folder_cases, gguf_cases):
            group(case)
    print(f"{case.count} cases, {case.failed} failed")
    sys.exit(case.failed > 0)


if __name__ == "__main__":
    main()
