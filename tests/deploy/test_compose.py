"""Docker cannot run in the tests: everything its files name must at least exist."""

import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from app import RELEASE
from app.cli import main
from app.core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
GPU = ROOT / "docker-compose.gpu.yml"

# Of the Compose specification, what these files use; a misspelt key would be ignored or refused.
SERVICE_KEYS = {
    "image", "build", "restart", "init", "read_only", "tmpfs", "cap_drop", "security_opt", "command", "environment",
    "healthcheck", "depends_on", "secrets", "ports", "volumes", "stop_grace_period", "deploy",
}  # fmt: skip
CONDITIONS = {"service_healthy", "service_completed_successfully"}


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text("utf-8"))


def dockerfile_lines() -> list[str]:
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def instruction(name: str) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in dockerfile_lines() if line.split()[0] == name]


def parse_command(words: list[str]) -> None:
    """Parse a command line of `trainyard` as click would, without running it; raise what it would raise."""
    command, name, rest, parent = main, "trainyard", list(words), None
    while True:
        context = command.make_context(name, rest, parent=parent)
        rest = [*context._protected_args, *context.args]
        if not isinstance(command, click.Group) or (not rest and command.invoke_without_command):
            return
        found_name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, name, parent = found, found_name, context


@pytest.mark.parametrize("path", [COMPOSE, GPU], ids=lambda path: path.name)
def test_every_key_of_a_service_is_one_of_the_specification(path: Path) -> None:
    for name, service in load(path)["services"].items():
        assert set(service) <= SERVICE_KEYS, name


@pytest.mark.parametrize("path", [COMPOSE, GPU], ids=lambda path: path.name)
def test_every_variable_is_a_setting(path: Path) -> None:
    known = {f"TRAINYARD_{name.upper()}" for name in Settings.model_fields}
    given = {
        variable
        for service in load(path)["services"].values()
        for variable in service.get("environment", {})
        if variable.startswith("TRAINYARD_")
    }
    assert given
    assert given <= known


def test_the_values_given_are_valid_settings() -> None:
    services = load(COMPOSE)["services"]
    for name in ("migrate", "api", "worker"):
        given = {
            variable.removeprefix("TRAINYARD_").lower(): re.sub(r"\$\{\w+:?-?([^}]*)\}", r"\1", str(value))
            for variable, value in services[name]["environment"].items()
        }
        settings = Settings(**given)
        assert settings.database.startswith("postgresql+psycopg://")
        assert settings.broker.startswith("redis://")
        assert settings.storage.startswith("file://")


def test_our_services_run_commands_that_exist() -> None:
    services = load(COMPOSE)["services"]
    ours = {name: service for name, service in services.items() if service["image"].startswith("trainyard:")}
    assert set(ours) == {"migrate", "api", "worker"}
    for service in ours.values():
        parse_command(service["command"])
        test = service["healthcheck"].get("test")
        if test is not None:
            assert test[:2] == ["CMD", "trainyard"]
            parse_command(test[2:])


def test_a_command_that_does_not_exist_is_found_out() -> None:
    with pytest.raises(click.UsageError):
        parse_command(["work"])
    with pytest.raises(click.UsageError):
        parse_command(["worker", "--chek"])


def test_every_service_that_serves_has_a_health_check() -> None:
    for name, service in load(COMPOSE)["services"].items():
        assert name == "migrate" or service["healthcheck"]["test"], name


def test_migrations_run_once_and_before_everything_that_needs_them() -> None:
    services = load(COMPOSE)["services"]
    assert services["migrate"]["restart"] == "no"
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("api", "worker"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_what_a_service_depends_on_exists_and_can_meet_the_condition() -> None:
    services = load(COMPOSE)["services"]
    for service in services.values():
        for other, wanted in service.get("depends_on", {}).items():
            assert wanted["condition"] in CONDITIONS
            assert wanted["condition"] != "service_healthy" or services[other]["healthcheck"]["test"]


def test_volumes_and_secrets_are_declared_and_used() -> None:
    compose = load(COMPOSE)
    used_volumes = {
        mount.split(":")[0] for service in compose["services"].values() for mount in service.get("volumes", [])
    }
    used_secrets = set(itertools.chain.from_iterable(s.get("secrets", []) for s in compose["services"].values()))
    assert used_volumes == set(compose["volumes"])
    assert used_secrets == set(compose["secrets"])


def test_api_and_worker_see_the_same_blobs_at_the_place_the_setting_names() -> None:
    services = load(COMPOSE)["services"]
    for name in ("api", "worker"):
        assert services[name]["environment"]["TRAINYARD_STORAGE_URL"] == "file:///var/lib/trainyard/blobs"
        assert "blobs:/var/lib/trainyard/blobs" in services[name]["volumes"]
    assert "/var/lib/trainyard/blobs" in " ".join(instruction("RUN"))


def test_the_keys_file_is_the_mounted_secret() -> None:
    compose = load(COMPOSE)
    api = compose["services"]["api"]
    assert api["environment"]["TRAINYARD_API_KEYS_FILE"] == "/run/secrets/" + api["secrets"][0]


def test_every_variable_of_the_host_is_explained_in_the_example() -> None:
    text = COMPOSE.read_text("utf-8") + GPU.read_text("utf-8")
    used = set(re.findall(r"\$\{(\w+)", text))
    explained = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE))
    assert used == explained


def test_no_secret_stands_in_the_files() -> None:
    for service in load(COMPOSE)["services"].values():
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable:
                assert re.fullmatch(r"\$\{\w+:\?.+\}", value)


def test_the_image_has_this_release() -> None:
    tags = {s["image"] for p in (COMPOSE, GPU) for s in load(p)["services"].values() if "trainyard" in s["image"]}
    assert tags == {f"trainyard:{RELEASE}", f"trainyard:{RELEASE}-gpu"}


def test_the_gpu_override_changes_a_service_that_exists() -> None:
    override, base = load(GPU)["services"], load(COMPOSE)["services"]
    assert set(override) == {"worker"}
    assert set(override) <= set(base)
    devices = override["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    declared = {line.split("=")[0] for line in instruction("ARG")}
    assert set(override["worker"]["build"]["args"]) <= declared
    assert (ROOT / override["worker"]["build"]["args"]["REQUIREMENTS"]).is_file()


def test_what_the_dockerfile_copies_exists_and_is_not_ignored() -> None:
    defaults = dict(line.split("=") for line in instruction("ARG"))
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    for line in instruction("COPY"):
        *sources, _ = [word for word in line.split() if not word.startswith("--")]
        if "--from=" in line:
            continue
        for source in sources:
            path = source.replace("${REQUIREMENTS}", defaults["REQUIREMENTS"])
            assert (ROOT / path).exists(), path
            assert path in allowed, path


def test_the_image_runs_as_nobody_special_and_says_whether_it_is_well() -> None:
    assert instruction("USER") == ["10001:10001"]
    assert dockerfile_lines().index("USER 10001:10001") < dockerfile_lines().index('ENTRYPOINT ["trainyard"]')
    [check] = instruction("HEALTHCHECK")
    words = yaml.safe_load(check.split("CMD ")[1])
    assert words[0] == "trainyard"
    parse_command(words[1:])
    [command] = instruction("CMD")
    parse_command(yaml.safe_load(command))


def test_only_locked_and_hashed_packages_are_installed() -> None:
    installs = [line for line in instruction("RUN") if "pip install" in line]
    assert len(installs) == 2
    assert "--require-hashes" in shlex.split(installs[0])
    assert {"--no-deps", "--no-build-isolation"} <= set(shlex.split(installs[1]))


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-gpu.lock"])
def test_every_line_of_a_lock_has_a_hash(name: str) -> None:
    blocks = re.split(r"\n(?=\S)", (ROOT / name).read_text("utf-8"))
    pins = [block for block in blocks if not block.startswith("#")]
    assert len(pins) > 50
    for block in pins:
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,_-]+\])?==\S+", block), block[:80]
        assert "--hash=sha256:" in block, block[:80]


@pytest.mark.parametrize(
    "name", ["requirements.lock", "requirements-gpu.lock", "Dockerfile", "docker-compose.yml", "docker-compose.gpu.yml"]
)
def test_no_file_names_a_package_index(name: str) -> None:
    text = (ROOT / name).read_text("utf-8").replace("--no-emit-index-url", "")
    assert not re.search(r"index-url|find-links|https?://", text.replace("https://github.com", "")), name


def test_the_gpu_image_has_the_versions_that_the_tests_ran_with() -> None:
    def versions(name: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}  # a universal lock pins a package more than once, by markers
        for package, version in re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / name).read_text("utf-8"), re.MULTILINE):
            found.setdefault(package, set()).add(version)
        return found

    tested, gpu = versions("requirements.lock"), versions("requirements-gpu.lock")
    assert gpu["tensorflow"] == tested["tensorflow"]
    assert "tensorflow-cpu" not in gpu
    assert all(gpu[name] <= tested[name] for name in tested.keys() & gpu.keys())
    assert all(name.startswith("nvidia-") for name in gpu.keys() - tested.keys())
