"""`python -m workers.intake ORDER.json`: opens one upload, locked in, and writes what came of it.

The order: {"file", "architecture" | null, "output", "labels", "input_scale", "channel_order", "limits", "bounds",
"parent"}. Into the output folder go `report.json` and, where the upload is taken in, `bundle/`. What is not a clear
answer ends it with a non-zero status, and its parent says what that means.
"""

import errno
import sys
from pathlib import Path

import orjson

from app.models.intake.child import NOT_LOCKED_IN, OUT_OF_MEMORY, REPORT_FILE, STORAGE_FULL
from workers.intake.sandbox import Bounds, SandboxFailed, enter


def main(order_file: Path) -> int:
    """Obey an order; return the exit status."""
    order = orjson.loads(order_file.read_bytes())
    output = Path(order["output"])
    read = [Path(order[name]) for name in ("file", "architecture") if order.get(name)]
    try:
        enter(order["parent"], read, output, Bounds(**order["bounds"]))
    except SandboxFailed as failed:
        print(failed, file=sys.stderr)  # noqa: T201  (its parent logs it)
        return NOT_LOCKED_IN
    # Only now: what opens the file is imported, and looks at it, locked in.
    from workers.intake.taking_in import take_in

    try:
        report = take_in(order)
    except MemoryError:
        return OUT_OF_MEMORY
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return STORAGE_FULL
        raise
    (output / REPORT_FILE).write_bytes(orjson.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
