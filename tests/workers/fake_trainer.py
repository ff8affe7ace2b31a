"""A trainer that does as its order says, without TensorFlow: `resolved["script"]` is a list of steps.

    {"report": {…}}            write a report
    {"beat": n}                write n progress reports, 20 ms apart, unless something is asked meanwhile
    {"checkpoint": step}       make a whole checkpoint folder and report it, as the best unless "best" is false
    {"finish": value}          make a bundle folder and report `done`; `value` lands in its manifest
    {"fail": {…}}              report `failed`
    {"obey": true}             wait for a control message, then checkpoint and report `stopped`, or `done` to keep best
    {"exit": code}             end with this exit code
    {"signal": number}         end by this signal
    {"deaf": true}             ignore SIGTERM and all control messages from now on
    {"hang": true}             do nothing for ever
    {"linger": true}           start a grandchild that keeps the pipes open, and go on
    {"say": text}              print a line
    {"once": name, "do": [..]} the steps in `do`, but only the first time in `dir`/name

`progress` counts on from the checkpoint of the order, so that a test can see what was resumed.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

from workers.trainer.order import Order


class FakeTrainer:
    def __init__(self, order: Order, reports: BinaryIO, control: int) -> None:
        self.order = order
        self.reports = reports
        self.asked: dict[str, Any] | None = None
        self.changed = threading.Event()
        self.step = 0
        self.seconds = order.trained_seconds
        if order.checkpoint is not None:
            self.step = json.loads((order.checkpoint / "state.json").read_text())["step"]
        threading.Thread(target=self.listen, args=(control,), daemon=True).start()

    def listen(self, control: int) -> None:
        pending = b""
        while chunk := os.read(control, 4096):
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                self.asked = json.loads(line)
                self.changed.set()
        os._exit(70)

    def send(self, report: dict[str, Any]) -> None:
        self.reports.write(json.dumps(report).encode() + b"\n")
        self.reports.flush()

    def run(self, script: list[dict[str, Any]]) -> int:
        for step in script:
            code = self.do(step)
            if code is not None:
                return code
        return 0

    def do(self, step: dict[str, Any]) -> int | None:
        name, value = next(iter(step.items()))
        match name:
            case "report":
                self.send(value)
            case "beat":
                for _ in range(value):
                    self.step += 1
                    self.seconds += 0.02
                    self.send(
                        {
                            "type": "progress",
                            "epoch": 1,
                            "epochs": 1,
                            "step": self.step,
                            "steps": 1000,
                            "fraction": self.step / 1000,
                            "samples_per_second": 50.0,
                            "eta_seconds": 1.0,
                        }
                    )
                    if self.changed.wait(0.02):
                        break
            case "checkpoint":
                self.step = value
                self.checkpoint(step.get("best", True))
            case "finish":
                self.finish(value, "completed")
                return 0
            case "fail":
                self.send({"type": "failed", "error": value})
                return 0
            case "obey":
                self.changed.wait()
                return self.obey()
            case "exit":
                return int(value)
            case "signal":
                os.kill(os.getpid(), value)
                threading.Event().wait()
            case "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                self.changed = threading.Event()
            case "hang":
                threading.Event().wait()
            case "linger":
                subprocess.Popen(
                    [sys.executable, "-c", "import signal; signal.pause()"], pass_fds=[self.reports.fileno()]
                )
            case "say":
                print(value)
            case "once":
                mark = Path(step["dir"]) / value
                if not mark.exists():
                    mark.touch()
                    return self.run(step["do"]) or None
            case _:
                raise ValueError(name)
        return None

    def obey(self) -> int:
        assert self.asked is not None
        if self.asked["type"] == "cancel":
            if self.asked["keep"] == "best":
                self.finish("best", "cancelled")
            else:
                self.send({"type": "stopped", "reason": "cancelled", "trained_seconds": self.seconds})
            return 0
        self.checkpoint()
        reason = {"pause": "paused", "drain": "drained"}[self.asked["type"]]
        self.send({"type": "stopped", "reason": reason, "trained_seconds": self.seconds})
        return 0

    def checkpoint(self, is_best: bool = True) -> None:
        folder = self.order.output / f"checkpoint-{self.step}"
        write_tree(folder, {"state.json": json.dumps({"step": self.step}).encode()}, {})
        self.send(
            {
                "type": "checkpoint",
                "folder": str(folder),
                "epoch": 1,
                "step": self.step,
                "metrics": {"loss": 0.5},
                "is_best": is_best,
                "trained_seconds": self.seconds,
            }
        )

    def finish(self, value: Any, stop_reason: str) -> None:
        folder = self.order.output / "bundle"
        facts = {
            "format": 1,
            "recipe": self.order.recipe,
            "job": self.order.job,
            "dataset": "ds_1",
            "metrics": {},
            "parameters": 3,
            "signature": {"inputs": [], "outputs": []},
            "runtime": "onnx",
            "value": value,
            "step": self.step,
        }
        write_tree(folder, {"model.onnx": b"graph", "model.keras": b"weights"}, facts)
        self.send(
            {
                "type": "done",
                "stop_reason": stop_reason,
                "bundle": str(folder),
                "evaluation": None,
                "fit": {"verdict": "healthy"},
                "metrics": {"train": {"loss": 0.1}, "validation": {}, "test": {}},
                "trained_seconds": self.seconds,
            }
        )


def write_tree(folder: Path, files: dict[str, bytes], facts: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    hashes = {n: {"bytes": len(c), "sha256": hashlib.sha256(c).hexdigest()} for n, c in files.items()}
    (folder / "manifest.json").write_text(json.dumps({**facts, "files": hashes}))


def run(order: Order, reports: BinaryIO, control: int) -> int:
    trainer = FakeTrainer(order, reports, control)
    trainer.send({"type": "started", "fingerprint": {"fake": True}})
    return trainer.run(order.resolved["script"])
