"""Ids: prefixed, sortable, unique."""

import threading

from app.core.ids import created_id, new_id, preset_suffix


def test_text_order_is_order_of_creation() -> None:
    ids = [new_id("job") for _ in range(5000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(i.startswith("job_") and len(i) == 26 for i in ids)


def test_threads_never_share_an_id() -> None:
    found: list[str] = []

    def draw() -> None:
        found.extend([new_id("x") for _ in range(2000)])

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 8000


def test_a_preset_suffix_names_the_created_object() -> None:
    token = preset_suffix.set("abc")
    try:
        assert created_id("job") == "job_abc"
        assert new_id("evt") != "evt_abc"
    finally:
        preset_suffix.reset(token)
    assert created_id("job") != "job_abc"
