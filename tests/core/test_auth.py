"""Keys: shown once, kept as hashes, refused without a hint."""

import os
from pathlib import Path

import pytest

from app.core import auth
from app.core.auth import Authenticator, key_line, new_key, read_keys
from app.core.errors import Unauthorized
from app.core.settings import Settings


def _headers(value: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", value.encode())]


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_without_keys_only_loopback(settings: Settings) -> None:
    assert Authenticator(settings).check([]) == "default"
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(ValueError, match="loopback"):
            Authenticator(settings.model_copy(update={"host": host}))
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert Authenticator(settings.model_copy(update={"host": host})).is_open


def test_only_a_known_key_passes(settings: Settings, keys_file: Path) -> None:
    key, other = new_key(), new_key()
    keys_file.write_text(f"# team\n\n{key_line('search', key)}\n")
    checker = Authenticator(settings.model_copy(update={"api_keys_file": keys_file, "host": "0.0.0.0"}))
    assert not checker.is_open
    assert checker.check(_headers(f"Bearer {key}")) == "default"
    assert checker.check(_headers(f"bearer {key}")) == "default"
    for value in (f"Bearer {other}", f"Basic {key}", key, "Bearer ", "", f"Bearer {key}x"):
        with pytest.raises(Unauthorized):
            checker.check(_headers(value))
    with pytest.raises(Unauthorized):
        checker.check([])


def test_a_removed_key_is_refused_and_a_new_one_taken(
    settings: Settings, keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "_RELOAD_SECONDS", 0.0)
    old, new = new_key(), new_key()
    keys_file.write_text(key_line("a", old) + "\n")
    checker = Authenticator(settings.model_copy(update={"api_keys_file": keys_file}))
    assert checker.check(_headers(f"Bearer {old}"))
    keys_file.write_text(key_line("b", new) + "\n")
    os.utime(keys_file, ns=(1, 1))
    with pytest.raises(Unauthorized):
        checker.check(_headers(f"Bearer {old}"))
    assert checker.check(_headers(f"Bearer {new}"))


def test_the_file_never_holds_the_key(keys_file: Path) -> None:
    key = new_key()
    line = key_line("ci", key)
    assert key not in line
    keys_file.write_text(line)
    assert read_keys(keys_file)[0].name == "ci"


@pytest.mark.parametrize("text", ["name", "name:123", ":" + "a" * 64, "name:" + "z" * 64])
def test_a_bad_line_is_named(keys_file: Path, text: str) -> None:
    keys_file.write_text(f"# first\n{text}\n")
    with pytest.raises(ValueError, match="line 2"):
        read_keys(keys_file)


@pytest.mark.parametrize("name", ["", "A", "a b", "a:b", "x" * 64])
def test_a_bad_name_makes_no_key(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        key_line(name, "k")
