"""The pages say everything there is: routes, settings, error codes, recipes; and nothing there is not."""

import re
import typing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from app import RELEASE
from app.core.settings import Settings
from app.jobs.advice import ADVICE
from app.jobs.requests import KINDS
from app.jobs.states import STATES, VERBS
from app.main import create_app
from app.recipes.catalog import RECIPES
from app.recipes.objectives import (
    CLASS_LOSSES,
    CLASS_METRICS,
    LABELS_LOSSES,
    LABELS_METRICS,
    TWO_CLASS_LOSSES,
    VALUE_LOSSES,
    VALUE_METRICS,
)
from app.recipes.optimizers import OPTIMIZERS, SCHEDULES
from tests.docs.markdown import PAGES, ROOT
from tests.docs.reference import (
    CONFIGURATION,
    JOBS,
    error_codes,
    warning_codes,
    with_settings_table,
    with_states_chart,
)

METHODS = {"get", "post", "put", "patch", "delete"}


def text_of(*names: str) -> str:
    return "\n".join((ROOT / name).read_text("utf-8") for name in names)


def all_text() -> str:
    return "\n".join(page.read_text("utf-8") for page in PAGES)


def routes_written() -> set[tuple[str, str]]:
    found = re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^\s`?]*)", text_of("docs/http.md"))
    return {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in found}


@pytest.fixture(scope="module")
def openapi(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return create_app(Settings(home=tmp_path_factory.mktemp("home"))).openapi()


def test_every_route_is_in_the_reference_and_every_route_there_exists(openapi: dict[str, Any]) -> None:
    served = {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path))
        for path, item in openapi["paths"].items()
        for method in METHODS & set(item)
    }
    pages_of_fastapi = {("GET", "/openapi.json"), ("GET", "/docs")}
    assert routes_written() == served | pages_of_fastapi


def test_every_parameter_of_a_query_is_in_the_reference(openapi: dict[str, Any]) -> None:
    page = text_of("docs/http.md")
    missing = {
        parameter["name"]
        for item in openapi["paths"].values()
        for method in METHODS & set(item)
        for parameter in item[method].get("parameters", [])
        if parameter["in"] == "query" and not re.search(rf"\b{re.escape(parameter['name'])}\b", page)
    }
    assert not missing


def test_the_table_of_settings_is_the_one_in_the_code() -> None:
    page = CONFIGURATION.read_text("utf-8")
    assert page == with_settings_table(page), "run: python -m tests.docs.reference"


def test_the_chart_of_states_is_the_one_in_the_code() -> None:
    page = JOBS.read_text("utf-8")
    assert page == with_states_chart(page), "run: python -m tests.docs.reference"


def test_every_setting_says_what_it_is_and_in_which_unit() -> None:
    units = {"_seconds": "second", "_bytes": "byte", "_days": "day", "_ms": "millisecond", "_rows": "row"}
    for name, info in Settings.model_fields.items():
        assert info.description, name
        for ending, unit in units.items():
            if name.endswith(ending):
                assert unit in info.description.lower(), name


def test_every_variable_that_the_pages_name_is_a_setting() -> None:
    known = {f"TRAINYARD_{name.upper()}" for name in Settings.model_fields}
    known |= {"TRAINYARD_URL", "TRAINYARD_KEY", "TRAINYARD_TEST_DATA"}
    assert set(re.findall(r"TRAINYARD_[A-Z_]*[A-Z]", all_text())) <= known


def test_every_error_code_is_explained_and_every_one_explained_exists() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", text_of("docs/errors.md"), re.MULTILINE)
    explained = {code for _, code in rows}
    job_codes = set(re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", text_of("docs/errors.md"), re.MULTILINE))
    answered = {
        code
        for code, files in error_codes().items()
        if not all(file.startswith(("app/jobs/repository", "app/preprocessing")) for file in files)
    }
    assert answered - explained - job_codes - warnings_explained() == set()
    assert explained - set(error_codes()) == set()


def warnings_explained() -> set[str]:
    part = text_of("docs/errors.md").split("## Warnings")[1]
    return set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE))


def test_every_warning_is_explained() -> None:
    assert set(warning_codes()) - warnings_explained() == set()


def test_every_code_of_a_failed_job_is_explained_with_what_to_do_next() -> None:
    page = text_of("docs/errors.md")
    told = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    assert {code: advice.strip() for code, advice in told} == ADVICE


def test_every_recipe_has_a_row_and_every_row_is_a_recipe() -> None:
    written = re.findall(r"^\| `([a-z-]+)` \|", text_of("docs/recipes.md"), re.MULTILINE)
    assert set(written) == set(RECIPES)
    for recipe in RECIPES.values():
        for architecture in recipe.architectures:
            assert f"`{architecture}`" in text_of("docs/recipes.md")


@pytest.mark.parametrize(
    "names",
    [OPTIMIZERS, SCHEDULES, CLASS_LOSSES, TWO_CLASS_LOSSES, LABELS_LOSSES, VALUE_LOSSES,
     set(CLASS_METRICS.values()), set(LABELS_METRICS.values()), set(VALUE_METRICS.values())],
    ids=["optimizers", "schedules", "losses of classes", "of two classes", "of labels", "of values",
         "metrics of classes", "of labels", "of values"],
)  # fmt: skip
def test_every_name_that_training_takes_is_in_the_page(names: typing.Iterable[str]) -> None:
    page = text_of("docs/recipes.md")
    assert [name for name in names if f"`{name}`" not in page] == []


def fields_of(model: type[BaseModel], path: str = "") -> typing.Iterator[str]:
    for name, info in model.model_fields.items():
        yield name
        for part in (info.annotation, *typing.get_args(info.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from fields_of(part, f"{path}.{name}")


def test_every_field_of_a_job_is_in_some_page() -> None:
    text = all_text()
    optimizers_own = {"beta_1", "beta_2", "rho", "epsilon", "amsgrad", "centered", "initial_accumulator_value"}
    fields = {field for kind in KINDS.values() for field in fields_of(kind)} - optimizers_own
    assert {name for name in fields if not re.search(rf"\b{name}\b", text)} == set()


def test_every_state_and_verb_is_in_the_reference() -> None:
    page = text_of("docs/http.md")
    for state in STATES:
        assert f"`{state}`" in page
    for verb in VERBS:
        assert f"/{verb}`" in page or verb == "delete"


def test_every_setting_that_the_production_needs_is_in_the_readme() -> None:
    needed = ("home", "host", "port", "database_url", "broker_url", "storage_url", "api_keys_file", "worker_slots")
    for name in needed:
        assert f"`TRAINYARD_{name.upper()}`" in text_of("README.md")


def test_the_changelog_has_this_release_on_top() -> None:
    releases = re.findall(r"^## (\d+\.\d+\.\d+)", text_of("CHANGELOG.md"), re.MULTILINE)
    assert releases[0] == RELEASE


def test_links_between_pages_lead_somewhere() -> None:
    for page in (*PAGES, ROOT / "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]*)?\)", page.read_text("utf-8")):
            if not target.startswith("https://"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_no_page_names_a_place_of_one_machine() -> None:
    for page in (*PAGES, ROOT / "CHANGELOG.md", ROOT / ".env.example", *Path(ROOT).glob("docker*")):
        if page.is_file():
            assert not re.search(r"/(home|root|Users|work)/", page.read_text("utf-8")), page.name
