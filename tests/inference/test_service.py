"""Which model answers: the catalogue, loading, switching, and what the cache holds."""

import asyncio
import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import NotFound, Overloaded
from app.inference import service as service_module
from app.inference.catalogue import AliasEntry, Catalogue, VersionEntry, parse_ref
from tests.inference.serving import Serving, serve, until

ROW = [0.1, -0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
PATH = "/v1/models/dense/predict"


@pytest.fixture
def run(tmp_path: Path, bundles: Path) -> Callable[..., None]:
    """Run a test's coroutine against a service with the model `dense@1`."""

    def runner(test: Callable[[Serving], Awaitable[None]], **settings: Any) -> None:
        async def body() -> None:
            async with serve(tmp_path / "home", **settings) as serving:
                serving.models.publish("dense", 1, bundles / "dense1")
                await test(serving)

        asyncio.run(body())

    return runner


def entry(version: int, project: str = "default", name: str = "m") -> VersionEntry:
    return VersionEntry(project, name, version, f"bundles/{version}", f"{version:064x}")


def test_a_catalogue_finds_what_a_ref_means() -> None:
    catalogue = Catalogue(
        5,
        [entry(1), entry(10), entry(2), entry(1, "other", "m")],
        [AliasEntry("default", "m", "live", 2), AliasEntry("default", "m", "gone", 7)],
    )
    assert catalogue.find("default", "m", None) == entry(10)
    assert catalogue.find("default", "m", 2) == entry(2)
    assert catalogue.find("default", "m", "live") == entry(2)
    assert catalogue.find("other", "m", None) == entry(1, "other", "m")
    for selector in (3, "gone", "none"):
        assert catalogue.find("default", "m", selector) is None
    assert catalogue.find("other", "m", "live") is None
    assert catalogue.find("third", "m", None) is None


def test_refs() -> None:
    assert parse_ref("a") == ("a", None)
    assert parse_ref("a-b.c_9@12") == ("a-b.c_9", 12)
    assert parse_ref("a@live") == ("a", "live")
    for bad in ("", "A", "9a", "a@", "a@0", "a@A", "a@1b@c", "a b", "a\n", "a" * 64, "a@" + "1" * 30):
        with pytest.raises(NotFound):
            parse_ref(bad)


def test_a_model_published_elsewhere_is_found_at_once(run: Any) -> None:
    async def test(serving: Serving) -> None:
        # Not in the snapshot that was read at the start: looked up before a 404.
        assert len(await serving.predict("dense", [ROW])) == 1
        reads = serving.models.reads
        assert (await serving.post("/v1/models/none/predict", {"instances": [ROW]})).status == 404
        # The counter has not changed, so the list is not read again.
        assert serving.models.reads == reads

    run(test)


def test_a_change_is_followed(run: Any, bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "POLL_SECONDS", 0.02)

    async def test(serving: Serving) -> None:
        before = await serving.predict("dense", [ROW])
        serving.models.publish("dense", 2, bundles / "dense2")
        await until(lambda: serving.service.catalogue.counter == 2)
        after = await serving.predict("dense", [ROW])
        assert after != before
        assert before == await serving.predict("dense@1", [ROW])
        serving.models.delete("dense", 2)
        await until(lambda: serving.service.catalogue.counter == 3)
        assert before == await serving.predict("dense", [ROW])
        assert (await serving.post("/v1/models/dense@2/predict", {"instances": [ROW]})).status == 404

    run(test)


def test_following_survives_a_defect(run: Any, bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "POLL_SECONDS", 0.02)

    async def test(serving: Serving) -> None:
        read = serving.models.read_counter
        failed = threading.Event()

        def defect() -> int:
            failed.set()
            monkeypatch.setattr(serving.models, "read_counter", read)
            raise KeyError("a defect that nobody foresaw")

        monkeypatch.setattr(serving.models, "read_counter", defect)
        await until(failed.is_set)
        serving.models.publish("dense", 2, bundles / "dense2")
        await until(lambda: serving.service.catalogue.counter == 2)

    run(test)


def test_a_new_version_is_in_memory_before_it_answers(run: Any, bundles: Path) -> None:
    async def test(serving: Serving) -> None:
        await serving.predict("dense", [ROW])
        new = serving.models.publish("dense", 2, bundles / "dense2")
        assert serving.service.cache.peek(new) is None
        await serving.service.refresh()
        assert serving.service.cache.peek(new) is not None
        # A version that nobody asked for is not loaded ahead.
        serving.models.publish("other", 1, bundles / "dense3")
        serving.models.put_alias("dense", "old", 1)
        await serving.service.refresh()
        assert serving.service.figures.loaded_models == 2

    run(test)


def test_a_deleted_version_leaves_memory_and_disk(run: Any, bundles: Path) -> None:
    async def test(serving: Serving) -> None:
        first = serving.models.versions[0]
        second = serving.models.publish("dense", 2, bundles / "dense2")
        await serving.predict("dense@1", [ROW])
        await serving.predict("dense@2", [ROW])
        folder = serving.settings.work_dir / "models"
        assert {path.name for path in folder.iterdir()} == {first.sha256, second.sha256}
        serving.models.delete("dense", 1)
        await serving.service.refresh()
        assert {path.name for path in folder.iterdir()} == {second.sha256}
        assert serving.service.cache.peek(first) is None

    run(test)


def test_many_ask_and_one_loads(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(serving: Serving) -> None:
        loads = 0
        store = serving.service._store
        load = store.load

        def counted(wanted: VersionEntry) -> Any:
            nonlocal loads
            loads += 1
            return load(wanted)

        monkeypatch.setattr(store, "load", counted)
        answers = await asyncio.gather(*(serving.predict("dense", [ROW]) for _ in range(20)))
        assert loads == 1
        assert all(answer[0]["label"] == answers[0][0]["label"] for answer in answers)

    run(test)


def test_a_slow_load_costs_only_those_who_wait_for_it(run: Any, bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(serving: Serving) -> None:
        await serving.predict("dense", [ROW])
        serving.models.publish("slow", 1, bundles / "dense2")
        go = threading.Event()
        store = serving.service._store
        load = store.load

        def slow(wanted: VersionEntry) -> Any:
            if wanted.name == "slow":
                assert go.wait(10)
            return load(wanted)

        monkeypatch.setattr(store, "load", slow)
        late = await serving.post("/v1/models/slow/predict", {"instances": [ROW]}, x_request_timeout="0.05")
        assert (late.status, late.json["error"]["code"]) == (504, "deadline_exceeded")
        waiting = asyncio.create_task(serving.predict("slow", [ROW]))
        assert len(await serving.predict("dense", [ROW])) == 1
        assert not waiting.done()
        go.set()
        assert len(await waiting) == 1

    run(test)


def test_the_least_recently_used_goes_first(run: Any, bundles: Path) -> None:
    async def test(serving: Serving) -> None:
        first = serving.models.versions[0]
        second = serving.models.publish("dense", 2, bundles / "dense2")
        third = serving.models.publish("dense", 3, bundles / "dense3")
        expected = await serving.predict("dense@1", [ROW])
        await serving.predict("dense@2", [ROW])
        await serving.predict("dense@1", [ROW])
        await serving.predict("dense@3", [ROW])
        cache = serving.service.cache
        assert cache.peek(second) is None
        assert cache.peek(first) is not None
        assert cache.peek(third) is not None
        assert cache.memory_bytes <= serving.settings.model_cache_bytes
        await serving.predict("dense@2", [ROW])
        assert cache.peek(first) is None
        assert expected == await serving.predict("dense@1", [ROW])

    run(test, model_cache_bytes=5_000_000 // 2)


def test_a_restart_uses_what_is_on_disk(run: Any) -> None:
    async def test(serving: Serving) -> None:
        expected = await serving.predict("dense", [ROW])
        await serving.service.stop()
        serving.blobs.delete_tree("bundles")
        again = Serving(serving.settings)
        again.models.versions, again.models.counter = serving.models.versions, 1
        await again.service.start()
        assert await again.predict("dense", [ROW]) == expected
        await again.service.stop()

    run(test)


def test_what_was_altered_on_disk_is_fetched_again(run: Any) -> None:
    async def test(serving: Serving) -> None:
        expected = await serving.predict("dense", [ROW])
        digest = serving.models.versions[0].sha256
        graph = serving.settings.work_dir / "models" / digest / "model.onnx"
        graph.write_bytes(graph.read_bytes()[:-1] + b"\x00")
        serving.service.cache.clear()
        assert await serving.predict("dense", [ROW]) == expected

    run(test)


def test_a_damaged_version_is_refused_and_the_rest_served(run: Any, bundles: Path, tmp_path: Path) -> None:
    async def test(serving: Serving) -> None:
        damaged = serving.models.publish("damaged", 1, bundles / "dense2")
        missing = serving.models.publish("missing", 1, bundles / "dense3")
        path = serving.blobs.path(f"{damaged.blob_prefix}/model.onnx")
        path.write_bytes(path.read_bytes()[:-1] + b"\x00")
        shutil.rmtree(serving.blobs.path(missing.blob_prefix))
        for name in ("damaged", "missing"):
            answer = await serving.post(f"/v1/models/{name}/predict", {"instances": [ROW]})
            assert (answer.status, answer.json["error"]["code"]) == (503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert str(tmp_path) not in answer.content.decode()
        assert len(await serving.predict("dense", [ROW])) == 1

    run(test)


def test_a_manifest_that_was_not_published_is_refused(run: Any, bundles: Path) -> None:
    async def test(serving: Serving) -> None:
        entry = serving.models.versions[0]
        serving.blobs.delete_tree(entry.blob_prefix)
        forged = serving.models.publish("dense", 9, bundles / "dense2")
        shutil.copytree(serving.blobs.path(forged.blob_prefix), serving.blobs.path(entry.blob_prefix))
        assert (await serving.post("/v1/models/dense@1/predict", {"instances": [ROW]})).status == 503

    run(test)


def test_the_database_away(run: Any) -> None:
    async def test(serving: Serving) -> None:
        expected = await serving.predict("dense", [ROW])
        serving.models.is_down = True
        assert await serving.predict("dense", [ROW]) == expected
        answer = await serving.post("/v1/models/unknown/predict", {"instances": [ROW]})
        assert answer.status == 503
        with pytest.raises(Overloaded):
            await serving.service.refresh()
        serving.models.is_down = False
        assert (await serving.post("/v1/models/unknown/predict", {"instances": [ROW]})).status == 404

    run(test)


def test_a_change_made_here_is_seen_before_it_is_answered(run: Any, bundles: Path) -> None:
    async def test(serving: Serving) -> None:
        await serving.predict("dense", [ROW])
        serving.models.publish("dense", 2, bundles / "dense2")
        await asyncio.to_thread(serving.service.refresh_from_thread)
        assert serving.service.catalogue.counter == serving.models.counter

    run(test)


def test_projects_do_not_see_each_other(run: Any, bundles: Path) -> None:
    async def test(serving: Serving) -> None:
        serving.models.publish("foreign", 1, bundles / "dense2", project="other")
        assert (await serving.post("/v1/models/foreign/predict", {"instances": [ROW]})).status == 404

    run(test)
