"""Column names: what a client may call a column."""

import unicodedata

from app.datasets.findings import Findings, refuse
from app.datasets.options import MAX_COLUMNS, MAX_NAME_CHARS


def has_control(text: str) -> bool:
    """Tell whether `text` has a control character, a line separator or a lone surrogate."""
    return any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text)


def checked_names(names: list[str], findings: Findings) -> list[str]:
    """Return column names, stripped, with a name for each that has none; 422 for doubled or unfit ones."""
    if len(names) > MAX_COLUMNS:
        raise refuse(f"There are {len(names)} columns; a table has at most {MAX_COLUMNS}.", param="file")
    stripped = [name.strip() for name in names]
    changed = sum(a != b for a, b in zip(names, stripped, strict=True))
    if changed:
        findings.note("names_stripped", f"Spaces around {changed} column names left out.", count=changed)
    taken = set(stripped)
    found: dict[str, int] = {}
    for position, name in enumerate(stripped, 1):
        if not name:
            name = _free(f"column_{position}", taken)
            findings.note("column_named", f"Column {position} has no name; it is called {name!r}.", column=name)
            stripped[position - 1] = name
        if len(name) > MAX_NAME_CHARS:
            raise refuse(f"The name of column {position} is longer than {MAX_NAME_CHARS} characters.", param="header")
        if has_control(name):
            raise refuse(f"The name of column {position} has a control character.", param="header")
        if name in found:
            raise refuse(f"Columns {found[name]} and {position} are both called {name!r}.", param="header")
        found[name] = position
    return stripped


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
