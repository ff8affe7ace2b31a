"""Fenced blocks of Markdown, and what the project's pages promise in them.

```console   a session: `$ ` begins a command, `> ` continues it, the rest is its answer.
             Every one runs against a live service; `…` stands for anything, white space for nothing.
```sh        lines for a person to type: their programs, targets, options and files must exist.
```text      what is shown, never run.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Command:
    """A command of a session and the answer that is shown for it."""

    text: str
    answer_lines: list[str] = field(default_factory=list)

    def matches(self, output: str) -> bool:
        """Tell whether `output` is the answer shown."""
        pieces = ["".join(piece.split()) for piece in "\n".join(self.answer_lines).split("…")]
        pattern = ".*?".join(map(re.escape, pieces))
        return re.fullmatch(pattern, "".join(output.split()), re.DOTALL) is not None


def blocks(path: Path, language: str) -> list[str]:
    """Return the bodies of the fenced blocks of `language`."""
    return [body for found, body in _FENCE.findall(path.read_text("utf-8")) if found == language]


def languages(path: Path) -> set[str]:
    """Return the languages of all fenced blocks."""
    return {found for found, _ in _FENCE.findall(path.read_text("utf-8"))}


def session(path: Path) -> list[Command]:
    """Return the commands of all `console` blocks of a page, in order."""
    commands: list[Command] = []
    for body in blocks(path, "console"):
        for line in body.splitlines():
            if line.startswith("$ "):
                commands.append(Command(line[2:]))
            elif line.startswith("> ") and not commands[-1].answer_lines:
                commands[-1].text += "\n" + line[2:]
            else:
                commands[-1].answer_lines.append(line)
    return commands


def typed_lines(path: Path) -> Iterator[str]:
    """Yield the lines of all `sh` blocks, continued lines joined, comments left out."""
    for body in blocks(path, "sh"):
        for line in body.replace("\\\n", " ").splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                yield line.strip()
