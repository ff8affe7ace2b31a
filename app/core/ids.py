"""Prefixed, time-sortable, URL-safe identifiers (API.md §1)."""

import contextvars
import secrets
import threading
import time

# Crockford's alphabet in ASCII order, so that text order is number order.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_CHARS = 10  # 50 bits of milliseconds: enough until the year 37,000
_RANDOM_CHARS = 12  # 60 random bits

_lock = threading.Lock()
_last_ms = 0
_last_random = 0


def _encode(number: int, length: int) -> str:
    chars = []
    for _ in range(length):
        number, digit = divmod(number, 32)
        chars.append(_ALPHABET[digit])
    return "".join(reversed(chars))


def new_id(prefix: str) -> str:
    """Return `prefix_` and 22 characters whose text order is the order of creation.

    Two ids made by one process in one millisecond keep their order: the second counts
    the random part up instead of drawing it anew.
    """
    global _last_ms, _last_random
    with _lock:
        now_ms = time.time_ns() // 1_000_000
        if now_ms > _last_ms:
            _last_ms, _last_random = now_ms, secrets.randbits(59)
        else:
            _last_random += 1
        return f"{prefix}_{_encode(_last_ms, _TIME_CHARS)}{_encode(_last_random, _RANDOM_CHARS)}"


# Set by the idempotency layer before a creating request runs, so that after a crash between the
# commit and the answer a retry finds what was created by its id.
preset_suffix: contextvars.ContextVar[str | None] = contextvars.ContextVar("preset_suffix", default=None)


def created_id(prefix: str) -> str:
    """Return the id of the one object that the present request creates."""
    suffix = preset_suffix.get()
    return f"{prefix}_{suffix}" if suffix else new_id(prefix)
