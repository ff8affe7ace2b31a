"""The accelerators of this host, as the driver lists them; no framework is loaded to ask."""

import os
import shutil
import subprocess
from typing import Any

_FIELDS = ("uuid", "name", "memory.total")
_TIMEOUT_SECONDS = 10.0


def list_devices() -> list[dict[str, Any]]:
    """Return `{"uuid","name","memory_bytes"}` of each NVIDIA device; none where there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run(
            [program, f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_devices(done.stdout)


def slot_environment(slot: int, slots: int) -> dict[str, str]:
    """Return what gives the trainers of one slot a device of their own; nothing where one slot has them all.

    With more slots than devices, slots share. `CUDA_VISIBLE_DEVICES` of the worker says which there are to give.
    """
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    devices = named or [device["uuid"] for device in list_devices()]
    if slots == 1 or not devices:
        return {}
    return {"CUDA_VISIBLE_DEVICES": devices[slot % len(devices)]}


def parse_devices(text: str) -> list[dict[str, Any]]:
    """Read nvidia-smi's lines `uuid, name, MiB`; a line of another form is left out."""
    devices = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == len(_FIELDS) and fields[2].isdigit():
            devices.append({"uuid": fields[0], "name": fields[1], "memory_bytes": int(fields[2]) * 2**20})
    return devices
