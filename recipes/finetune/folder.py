"""The folder of a run: whose it is, that one process writes to it, and its log."""

import fcntl
import json
import os

OUTPUTS = ("adapter_model.safetensors", "adapter_config.json", "model.safetensors", "config.json",
           "checkpoint.pt", "log.jsonl")


def write_whole(path, text):
    """Replaces the file at once: it holds the old text or the new one at any moment."""
    scratch = path.with_name(path.name + ".tmp")
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, path)


class RunFolder:
    """OUTPUT of a run that computes what `identity` says: a dict of settings and hashes.

    Ends the program where the folder holds something else, another run, or is being written to.
    """

    def __init__(self, path, identity):
        self.path = path
        self.log_path = path / "log.jsonl"
        try:
            path.mkdir(parents=True, exist_ok=True)
            self.lock = open(path / "run.json", "a+", encoding="utf-8")
        except OSError as error:
            raise SystemExit(f"--output {path}: {error.strerror}; expected a folder to write to"
                             ) from None
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SystemExit(f"--output {path}: another run is writing there") from None
        self.check(identity)

    def check(self, identity):
        self.lock.seek(0)
        text = self.lock.read()
        try:
            known = json.loads(text) if text else None
        except json.JSONDecodeError:
            raise SystemExit(f"{self.path / 'run.json'}: damaged; name another --output, or remove "
                             "the folder") from None
        if known is None:
            foreign = [name for name in (*OUTPUTS, "finetune.json") if (self.path / name).exists()]
            if foreign:
                (self.path / "run.json").unlink()
                raise SystemExit(f"--output {self.path}: holds {foreign[0]} already; name "
                                 "another folder, or remove it")
            self.lock.write(json.dumps(identity) + "\n")
            self.lock.flush()
            return
        changed = [name for name, value in identity.items() if known.get(name) != value]
        if changed:
            raise SystemExit(f"--output {self.path}: a run of another "
                             f"{', '.join(changed)} is there; name another folder, or remove it")

    def is_finished(self):
        return (self.path / "finetune.json").exists()

    def rows(self):
        """The log's rows; a last line that was cut off is none."""
        rows = []
        if self.log_path.exists():
            for line in self.log_path.read_text(encoding="utf-8").splitlines():
                try:
                    rows.append(json.loads(line))
                except json.JSONDecodeError:
                    break
        return rows

    def rewind_log(self, step):
        """Drops what was logged after the step from which the run goes on."""
        kept = [row for row in self.rows() if row["step"] <= step]
        write_whole(self.log_path, "".join(json.dumps(row) + "\n" for row in kept))
        return kept

    def log(self, row):
        with open(self.log_path, "a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
