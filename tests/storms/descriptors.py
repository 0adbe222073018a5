"""Users that close all their descriptors and open files of their own in their place."""

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any, ClassVar

from tests.actor import ROOT
from tests.storms.hazard import Hazard

TIMES = 3  # instances that one process enters


class Descriptors(Hazard):
    """The library must not close, replace, write or lock the files; leaving and entering again must work."""

    name: ClassVar[str] = "closed-descriptors"

    @classmethod
    def problem(cls) -> str:
        return "" if os.path.isdir("/proc/self/fd") else "there is no /proc with the descriptors of a process"

    def run(self) -> None:
        with tempfile.TemporaryDirectory(prefix="sctx-files-") as directory:
            while time.monotonic() < self.round.until:
                self.run_once(directory)

    def run_once(self, directory: str) -> None:
        name = self.random.choice([key.name for key in self.round.keys if key.service == "redis"])
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.storms.closer", name, str(TIMES), directory],
            cwd=ROOT,
            env=os.environ | {"SERVICECTX_HOME": str(self.round.home.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        with process, process.stdout as reports:
            began = time.monotonic()
            while (report := self.read(process)) is not None:
                self.check(name, began, report)
                began = time.monotonic()
                if report["did"] == "closed" and self.random.random() < 0.1:
                    process.kill()
                    self.round.tally.kills["user without descriptors"] += 1
            reports.read()
            if process.wait() > 0:
                self.round.fault(f"a user without descriptors ended with {process.returncode}")

    def read(self, process: "subprocess.Popen[str]") -> dict[str, Any] | None:
        """The next report; None at the end."""
        assert process.stdout is not None
        if not self.round.is_readable(process.stdout):
            self.round.fault(f"process {process.pid}, which closed its descriptors, hangs")
            process.kill()
            return None
        line = process.stdout.readline()
        return dict(json.loads(line)) if line.endswith("\n") else None

    def check(self, name: str, began: float, report: dict[str, Any]) -> None:
        step, error = report["did"], report.get("error")
        self.round.tally.record_wait(report["took"], f"{step} {name}, closed descriptors")
        if step == "closed":
            self.count()
        elif error and step == "enter":
            self.round.failed_to_enter(name, began, error, report["message"])
        elif error:
            self.round.fault(f"{step} of {name} after all descriptors were closed: {error}: {report['message']}")
