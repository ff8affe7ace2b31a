"""The child that reads an upload: `python -m app.datasets.ingest_child < order.json`.

It is given one file and one folder, limits itself before it looks at the file, and writes
`result.json`: {"schema": …, "format": …} or {"error": {…}}. What is not a clear error ends it with
a non-zero status; its parent says then what that means.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

from app.core.errors import TooLarge, TrainyardError, Unprocessable
from app.datasets.limits import limit_process
from app.datasets.options import Limits, Options

RESULT_FILE: Final = "result.json"
OUT_OF_MEMORY: Final = 3
# What the child says may only become one of these in the parent.
ERRORS: Final[dict[str, type[TrainyardError]]] = {"TooLarge": TooLarge, "Unprocessable": Unprocessable}


def main() -> int:
    """Read an order on standard input, obey it, and return the exit status."""
    order = json.load(sys.stdin)
    limits = Limits(**order["limits"])
    limit_process(limits, order["parent"])
    work_dir = Path(order["work_dir"])
    try:
        result = ingest(Path(order["upload"]), work_dir, Path(order["output"]), Options(**order["options"]), limits)
    except TrainyardError as error:
        result = {"error": describe(error)}
    except MemoryError:
        return OUT_OF_MEMORY
    (work_dir / RESULT_FILE).write_text(json.dumps(result), encoding="utf-8")
    return 0


def ingest(upload: Path, work_dir: Path, output: Path, options: Options, limits: Limits) -> dict[str, Any]:
    """Read `upload` into the stored data set `output`; return its schema and format."""
    # Imported after the limits are set, so that they bound the libraries too.
    from app.datasets.findings import Findings
    from app.datasets.formats import find_format
    from app.datasets.readers.folder_zip import look_into_zip
    from app.datasets.readers.registry import READERS
    from app.datasets.table import Source
    from app.datasets.writer import write_table

    with upload.open("rb") as source:
        found = find_format(options.format, options.file_name, source.read(1 << 16))
    if found == "npz" and options.format is None and not options.file_name.lower().endswith((".npz", ".gz")):
        found = look_into_zip(upload)
    findings = Findings()
    table = READERS[found](Source(upload, work_dir, options, limits, findings))
    return {"schema": write_table(table, output, findings), "format": found}


def describe(error: TrainyardError) -> dict[str, Any]:
    """Return an error as plain data."""
    return {
        "class": type(error).__name__,
        "message": error.message,
        "code": error.code,
        "param": error.param,
        "details": error.details,
    }


if __name__ == "__main__":
    sys.exit(main())
