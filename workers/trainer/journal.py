"""The trainer's log for people: a line for what was reported, but for progress, which would drown it."""

from typing import Any


def line_of(kind: str, fields: dict[str, Any]) -> str | None:
    """Return the line for a report; None for one that a log can do without."""
    match kind:
        case "started":
            found = fields.get("fingerprint") or {}
            return "started: " + ", ".join(f"{name} {value}" for name, value in found.items())
        case "warnings":
            return "\n".join(f"warning: {warning.get('message')}" for warning in fields["warnings"]) or None
        case "metrics":
            values = ", ".join(f"{name} {_short(value)}" for name, value in fields["values"].items())
            return f"epoch {fields['epoch']}, step {fields['step']}, {fields['split']}: {values}"
        case "checkpoint":
            return f"checkpoint at epoch {fields['epoch']}, step {fields['step']}"
        case "batch_halved":
            return f"batch halved: {fields['data']}"
        case "event":
            return f"{fields['name']}: {fields['data']}"
        case "done":
            return f"done: {fields['stop_reason']}"
        case "stopped":
            return f"stopped: {fields['reason']}"
        case "failed":
            return f"failed: {fields['error']['code']}: {fields['error']['message']}"
    return None


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
