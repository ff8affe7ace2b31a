"""Tables of the documentation that are made from the code: `python -m tests.docs.reference` writes them anew."""

import ast
import re
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from app.core.settings import Settings
from app.jobs.states import EDGES, FINAL, STATES
from tests.docs.markdown import ROOT

CONFIGURATION = ROOT / "docs" / "configuration.md"
_BEGIN, _END = "<!-- settings: made from app/core/settings.py -->", "<!-- end -->"

JOBS = ROOT / "docs" / "jobs.md"
_STATES_BEGIN = "<!-- states: made from app/jobs/states.py -->"


def settings_table() -> str:
    """Return every setting: variable, default, what it is."""
    rows = [_row(f"TRAINYARD_{name.upper()}", info) for name, info in Settings.model_fields.items()]
    return "\n".join(["| variable | default | what it is |", "|---|---|---|", *rows])


def _row(variable: str, info: FieldInfo) -> str:
    default = "" if info.default is None else f"`{info.default}`"
    return f"| `{variable}` | {default} | {info.description} |"


def with_settings_table(text: str) -> str:
    """Return the page with the table between its marks written anew."""
    head, rest = text.split(_BEGIN)
    _, tail = rest.split(_END)
    return f"{head}{_BEGIN}\n{settings_table()}\n{_END}{tail}"


def error_codes() -> dict[str, set[str]]:
    """Return every error code that the source can answer with, and the files that name it."""
    codes: dict[str, set[str]] = {}
    for path in sorted((ROOT / "app").rglob("*.py")):
        for code in _codes_of(ast.parse(path.read_text("utf-8"))):
            codes.setdefault(code, set()).add(str(path.relative_to(ROOT)))
    return codes


def _codes_of(tree: ast.Module) -> Iterator[str]:
    """Codes stand in three places: `code="…"`, `code = "…"` in a class, `{"code": "…"}`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _texts(keyword.value for keyword in node.keywords if keyword.arg == "code")
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            yield from _texts(value for key, value in pairs if _is_text(key, "code"))
        elif isinstance(node, ast.ClassDef):
            yield from _class_codes(node)


def warning_codes() -> dict[str, set[str]]:
    """Return every code of a warning in the data: the first argument of `warn`."""
    codes: dict[str, set[str]] = {}
    for path in sorted((ROOT / "app").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
            if name == "warn" and isinstance(node, ast.Call):
                for code in _texts(node.args[:1]):
                    codes.setdefault(code, set()).add(str(path.relative_to(ROOT)))
    return codes


def _class_codes(node: ast.ClassDef) -> Iterator[str]:
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id == "code":
            yield from _texts([line.value])
        if not isinstance(line, ast.Assign):
            continue
        target, value = line.targets[0], line.value
        if isinstance(target, ast.Name) and target.id == "code":
            yield from _texts([value])
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = zip(target.elts, value.elts, strict=True)
            yield from _texts(part for name, part in pairs if isinstance(name, ast.Name) and name.id == "code")


def _texts(nodes: Any) -> Iterator[str]:
    for node in nodes:
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.fullmatch("[a-z][a-z0-9_]+", node.value)
        ):
            yield node.value


def _is_text(node: ast.expr | None, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text


def main() -> None:
    """Write the settings' table and the states' chart anew."""
    CONFIGURATION.write_text(with_settings_table(CONFIGURATION.read_text("utf-8")), "utf-8")
    JOBS.write_text(with_states_chart(JOBS.read_text("utf-8")), "utf-8")


def states_chart() -> str:
    """Return the state machine of a job as a Mermaid chart."""
    edges = [f"    {source} --> {target}: {cause}" for (source, target), cause in EDGES.items()]
    ends = [f"    {state} --> [*]" for state in STATES if state in FINAL]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> queued: submit", *edges, *ends, "```"])


def with_states_chart(text: str) -> str:
    """Return the page with the chart between its marks drawn anew."""
    head, rest = text.split(_STATES_BEGIN)
    _, tail = rest.split(_END, 1)
    return f"{head}{_STATES_BEGIN}\n{states_chart()}\n{_END}{tail}"


if __name__ == "__main__":
    main()
