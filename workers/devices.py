"""The accelerators of this host, as the driver lists them, and which slot has which; no framework is loaded to ask."""

import os
import shutil
import subprocess
from typing import Any

from app.core.settings import Settings

_FIELDS = ("uuid", "name", "memory.total")
_TIMEOUT_SECONDS = 10.0


def list_devices() -> list[dict[str, Any]]:
    """Return `{"uuid","name","memory_bytes"}` of each device that this process may use; none where there is no driver.

    `CUDA_VISIBLE_DEVICES` says which those are; what it names and the driver does not list is taken at its word.
    """
    found = _ask_driver()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return found if named is None else choose_devices(named, found)


def _ask_driver() -> list[dict[str, Any]]:
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


def choose_devices(named: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the devices that `CUDA_VISIBLE_DEVICES` names, by index, by (the beginning of) a UUID, or a MIG name.

    As for CUDA, the first name that can be none ends the list: so "" and "-1" name none.
    """
    chosen: list[dict[str, Any]] = []
    for name in (part.strip() for part in named.split(",")):
        known = [device for device in found if name and device["uuid"].startswith(name)]
        if name.isdigit() and found:
            known = found[int(name) : int(name) + 1]
        elif not known and (name.isdigit() or name.startswith(("GPU-", "MIG-"))):
            known = [{"uuid": name, "name": None, "memory_bytes": None}]
        if len(known) != 1:
            break
        chosen += known
    return chosen


def count_slots(settings: Settings, devices: list[dict[str, Any]]) -> int:
    """Return how many slots a worker opens: with devices, no more than `device_slots` on each."""
    return min(settings.worker_slots, len(devices) * settings.device_slots) if devices else settings.worker_slots


def choose_queues(settings: Settings, devices: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return the queues that a worker serves: those of the setting, else its kind of device and `default`."""
    if settings.worker_queues is None:
        return ("gpu" if devices else "cpu", "default")
    return tuple(dict.fromkeys(name.strip() for name in settings.worker_queues.split(",")))


def device_of(slot: int, devices: list[dict[str, Any]]) -> str | None:
    """Return the UUID of the device that a slot owns, or shares where there are fewer; None where there is none."""
    return devices[slot % len(devices)]["uuid"] if devices else None


def parse_devices(text: str) -> list[dict[str, Any]]:
    """Read nvidia-smi's lines `uuid, name, MiB`; a line of another form is left out."""
    devices = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == len(_FIELDS) and fields[2].isdigit():
            devices.append({"uuid": fields[0], "name": fields[1], "memory_bytes": int(fields[2]) * 2**20})
    return devices
