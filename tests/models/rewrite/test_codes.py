"""Every reason for which a Keras file is refused is explained to users."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
SOURCES = [*(ROOT / "app/models/intake/rewrite").glob("*.py"), *(ROOT / "workers/intake").glob("*.py")]


def test_every_code_is_in_the_users_page() -> None:
    found = {code for path in SOURCES for code in re.findall(r'Refused\(\s*"(\w+)"', path.read_text())}
    assert len(found) > 12
    documented = set(re.findall(r"`(\w+)`", (ROOT / "docs/models.md").read_text()))
    assert found <= documented, sorted(found - documented)
