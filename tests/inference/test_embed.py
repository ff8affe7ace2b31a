"""`POST /v1/models/{ref}/embed`: pooled vectors, errors that name the text, bounds."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from app.inference import embedder
from app.inference.embedder import Embedder, pieces, pool
from app.inference.predictor import Predictor
from tests.inference.serving import Serving, serve
from tests.inference.text_bundles import WIDTH, WORDS, table, text_bundle

PATH = "/v1/models/texts/embed"
TEXTS = ["The cat sat", "你好", "", "the [MASK] the the the the the the", "dog!"]


def tokens(*words: str) -> np.ndarray:
    return table()[[WORDS.index(word) for word in words]]


# By hand: special tokens around each text, and at most 8 tokens.
EXPECTED = [
    tokens("[CLS]", "the", "cat", "sat", "[SEP]"),
    tokens("[CLS]", "你", "好", "[SEP]"),
    tokens("[CLS]", "[SEP]"),
    # A literal [MASK] is three tokens of text, not the token that masks.
    tokens("[CLS]", "the", "[", "mask", "]", "the", "the", "[SEP]"),
    tokens("[CLS]", "[UNK]", "!", "[SEP]"),
]


@pytest.fixture
def run(tmp_path: Path, bundles: Path) -> Callable[..., None]:
    """Run a test's coroutine against a service with the models `texts`, `unit` (first token, length 1) and `dense`."""

    def runner(test: Callable[[Serving], Awaitable[None]], **settings: Any) -> None:
        async def body() -> None:
            text_bundle(tmp_path / "texts")
            text_bundle(tmp_path / "unit", "first", normalize=True)
            async with serve(tmp_path / "home", **settings) as serving:
                serving.models.publish("texts", 1, tmp_path / "texts")
                serving.models.publish("unit", 1, tmp_path / "unit")
                serving.models.publish("dense", 1, bundles / "dense1")
                await serving.service.refresh()
                await test(serving)

        asyncio.run(body())

    return runner


def test_texts_become_the_mean_of_their_tokens(run: Any) -> None:
    async def test(serving: Serving) -> None:
        answer = await serving.post(PATH, {"input": TEXTS})
        assert answer.status == 200, answer.content
        assert answer.json["dim"] == WIDTH
        assert answer.json["model"] == {"name": "texts", "version": 1}
        assert "inference;dur=" in answer.headers["server-timing"]
        expected = [rows.mean(axis=0) for rows in EXPECTED]
        np.testing.assert_allclose(answer.json["embeddings"], expected, rtol=1e-5)
        one = await serving.post(PATH, {"input": TEXTS[0]})
        np.testing.assert_allclose(one.json["embeddings"], expected[:1], rtol=1e-5)

    run(test)


def test_the_first_token_scaled_to_length_1(run: Any) -> None:
    async def test(serving: Serving) -> None:
        answer = await serving.post("/v1/models/unit@1/embed", {"input": TEXTS[:2]})
        first = tokens("[CLS]")[0]
        np.testing.assert_allclose(answer.json["embeddings"], [first / np.linalg.norm(first)] * 2, rtol=1e-5)

    run(test)


def test_requests_at_the_same_time_get_their_own(run: Any) -> None:
    async def test(serving: Serving) -> None:
        asked = [[TEXTS[index % 5]] * (index % 3) for index in range(24)]
        answers = await asyncio.gather(*(serving.post(PATH, {"input": texts}) for texts in asked))
        for index, answer in enumerate(answers):
            assert answer.json["dim"] == WIDTH
            expected = np.tile(EXPECTED[index % 5].mean(axis=0), (index % 3, 1))
            np.testing.assert_allclose(np.reshape(answer.json["embeddings"], (-1, WIDTH)), expected, rtol=1e-5)

    run(test)


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"input": ["a", 3]}, "input[1]", "input[1]: expected a string, got 3"),
        ({"input": [None]}, "input[0]", "input[0]: expected a string, got None"),
        ({"input": {"a": 1}}, "input", "input: expected a list of texts, or one text."),
        ({"input": ["a"], "model": "x"}, "model", "model is not a field of this request. Its fields: input."),
        ({"texts": ["a"]}, "texts", "texts is not a field of this request. Its fields: input."),
        ({}, "input", "input is required."),
        (["a"], None, "The body must be an object with the field input."),
    ],
)
def test_a_wrong_text_is_named(run: Any, body: Any, param: str | None, message: str) -> None:
    async def test(serving: Serving) -> None:
        answer = await serving.post(PATH, body)
        assert answer.status == 422
        assert (answer.json["error"]["param"], answer.json["error"]["message"]) == (param, message)

    run(test)


def test_bounds(run: Any) -> None:
    async def test(serving: Serving) -> None:
        assert (await serving.post(PATH, {"input": ["a"] * 5})).status == 413
        assert (await serving.post(PATH, b'{"input": ["a", NaN]}')).status == 400
        assert (await serving.post(PATH, {"input": ["a" * 3000]})).status == 413
        assert (await serving.post(PATH, {"input": ["a"]}, content_type="text/plain")).status == 415
        assert (await serving.post(PATH, {"input": ["a"]}, x_request_timeout="0")).status == 504

    run(test, predict_queue_rows=4, max_predict_bytes=2000)


def test_a_model_answers_what_it_can_and_says_so(run: Any) -> None:
    async def test(serving: Serving) -> None:
        answer = await serving.post("/v1/models/dense/embed", {"input": ["a"]})
        assert (answer.status, answer.json["error"]["code"]) == (422, "unsupported")
        answer = await serving.post("/v1/models/texts/predict", {"instances": ["a"]})
        assert (answer.status, answer.json["error"]["code"]) == (422, "unsupported")
        assert "it answers embed" in answer.json["error"]["message"]
        assert (await serving.post("/v1/models/none/embed", {"input": ["a"]})).status == 404

    run(test)


def test_a_long_text_goes_to_the_network_in_pieces_of_like_length(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(embedder, "RUN_TOKENS", 12)
    lengths = [1, 8, 3, 3, 2, 9, 0, 3]
    found = pieces(lengths)
    assert sorted(index for piece in found for index in piece) == list(range(8))
    assert all(len(piece) * max(lengths[index] for index in piece) <= 12 for piece in found)
    assert [[lengths[index] for index in piece] for piece in found] == [[9], [8], [3, 3, 3, 2], [1, 0]]
    monkeypatch.setattr(embedder, "RUN_TOKENS", 16)
    text_bundle(tmp_path / "texts")
    texts = Embedder.of(Predictor.load(tmp_path / "texts"))
    assert texts is not None
    vectors = texts.run(texts.prepare_rows([TEXTS]))
    np.testing.assert_allclose(vectors, [rows.mean(axis=0) for rows in EXPECTED], rtol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "first", "max"])
def test_padding_is_no_part_of_a_vector(pooling: Literal["mean", "first", "max"]) -> None:
    hidden = np.random.default_rng(1).normal(size=(3, 4, 2)).astype(np.float32) - 5.0
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], np.int32)
    vectors = pool(hidden, mask, pooling)
    by_hand = {"mean": lambda rows: rows.mean(0), "first": lambda rows: rows[0], "max": lambda rows: rows.max(0)}[
        pooling
    ]
    np.testing.assert_allclose(vectors[0], by_hand(hidden[0]), rtol=1e-6)
    np.testing.assert_allclose(vectors[1], by_hand(hidden[1, :2]), rtol=1e-6)
    np.testing.assert_array_equal(vectors[2], [0.0, 0.0])
