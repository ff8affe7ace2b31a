"""Devices in quarantine: a child tries each from time to time, and the first that computes again is let back in."""

import logging
import os
import subprocess
import sys
from typing import Any

from app.core.clock import to_rfc3339, utc_now
from app.lifeline import tethered
from workers.rundir import RunDir

log = logging.getLogger(__name__)

PROBE_EVERY_SECONDS = 30.0
# A probe imports TensorFlow, some ten seconds; a device that hangs never answers.
TIMEOUT_SECONDS = 120.0


class Probe:
    """Looks after the devices of one worker; `look` and `states` are called from threads that live as long as it."""

    def __init__(self, run_dir: RunDir, module: str, devices: list[dict[str, Any]]) -> None:
        self._run_dir = run_dir
        self._module = module
        self._devices = devices
        self._since: dict[str, str | None] = {}

    def look(self) -> None:
        """Try every device in quarantine, and end the quarantine of those that compute."""
        for device in self._run_dir.quarantined():
            if self._computes(device):
                log.warning("a device computes again; its quarantine is over", extra={"device": device})
                self._run_dir.release(device)

    def states(self) -> list[dict[str, Any]]:
        """Return the devices, each with `state`, `ok` or `quarantined`, and `quarantined_at`."""
        bad = set(self._run_dir.quarantined())
        for device in bad - set(self._since):
            self._since[device] = to_rfc3339(utc_now())
        for device in set(self._since) - bad:
            del self._since[device]
        return [
            {
                **device,
                "state": "quarantined" if device["uuid"] in bad else "ok",
                "quarantined_at": self._since.get(device["uuid"]),
            }
            for device in self._devices
        ]

    def _computes(self, device: str) -> bool:
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": device}
        try:
            done = subprocess.run(
                tethered([sys.executable, "-m", self._module]), env=environment, timeout=TIMEOUT_SECONDS,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0
