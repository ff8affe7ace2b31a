"""Which versions started from which: shown, and minded at deletion."""

from pathlib import Path

from app.main import Trainyard
from tests.models.test_api import Call, app, call, publish

__all__ = ["app", "call"]


def test_a_version_tells_its_bases_and_what_depends_on_it(app: Trainyard, call: Call, tmp_path: Path) -> None:
    publish(app, tmp_path, "a_b")
    publish(app, tmp_path, "mo", base="a_b@1", dataset="ds_2")
    publish(app, tmp_path, "top", base="mo@1")
    found = call("GET", "/v1/models/top/versions/1/lineage").json()
    assert [(one["ref"], one["exists"], one["dataset"]) for one in found["bases"]] == [
        ("mo@1", True, "ds_2"),
        ("a_b@1", True, "ds_1"),
    ]
    assert (found["dependants"], found["jobs"]) == ([], [])
    found = call("GET", "/v1/models/a_b/versions/1/lineage").json()
    assert (found["bases"], found["dependants"]) == ([], ["mo@1"])
    assert call("GET", "/v1/models/top/versions/2/lineage").status_code == 404


def test_a_base_stays_unless_that_is_forced(app: Trainyard, call: Call, tmp_path: Path) -> None:
    publish(app, tmp_path, "a_b")
    # A name that a pattern of the first one's would fit.
    publish(app, tmp_path, "axb")
    publish(app, tmp_path, "mo", base="a_b@1")
    for path in ("/v1/models/a_b/versions/1", "/v1/models/a_b"):
        answer = call("DELETE", path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "version_in_use")
        assert answer.json()["error"]["details"] == [{"param": "version", "message": "mo@1"}]
    assert call("DELETE", "/v1/models/axb").status_code == 200
    assert call("GET", "/v1/models/mo/versions/1").json()["base_exists"] is True
    assert call("DELETE", "/v1/models/a_b/versions/1?force=true").status_code == 200
    version = call("GET", "/v1/models/mo/versions/1").json()
    assert (version["base"], version["base_exists"]) == ("a_b@1", False)
    assert call("GET", "/v1/models/mo/versions").json()["data"][0]["base_exists"] is False
    assert call("GET", "/v1/models/mo/versions/1/lineage").json()["bases"] == [
        {"ref": "a_b@1", "exists": False, "recipe": None, "job": None, "dataset": None},
    ]


def test_versions_of_one_model_do_not_keep_it(app: Trainyard, call: Call, tmp_path: Path) -> None:
    publish(app, tmp_path, "mo")
    publish(app, tmp_path, "mo", base="mo@1")
    assert call("DELETE", "/v1/models/mo/versions/1").status_code == 409
    assert call("DELETE", "/v1/models/mo").status_code == 200
