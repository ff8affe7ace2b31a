"""A checkpoint's zip uploaded to a real service, and asked for embeddings over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.intake.minilm import golden, zip_model
from tests.service import running_service

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running_service(tmp_path) as address:
        yield address


def test_a_real_checkpoint_comes_in_as_a_zip_and_embeds(url: str, tmp_path: Path) -> None:
    with httpx.Client(base_url=url, timeout=300) as client:
        with zip_model(tmp_path / "minilm.zip").open("rb") as file:
            answer = client.post("/v1/models", files={"file": ("minilm.zip", file)}, data={"name": "minilm"})
        assert answer.status_code == 201, answer.text
        version = answer.json()
        assert (version["runtime"], version["parameters"]) == ("onnx", 22_713_216)
        assert [spec["name"] for spec in version["signature"]["inputs"]] == ["token_ids", "padding_mask", "type_ids"]
        report = client.get(f"{answer.headers['location']}/intake").json()
        assert report["format"] == "huggingface"
        assert {"layer": "README.md", "what": "file not read"} in report["rewritten"]
        manifest = client.get(f"{answer.headers['location']}/files/manifest.json").json()
        assert manifest["embedding"] == {"output": "hidden", "pooling": "mean", "normalize": True}
        files = {file["name"] for file in client.get(f"{answer.headers['location']}/files").json()["data"]}
        assert {"model.keras", "model.onnx", "tokenizer.json", "preprocessing.json"} <= files

        texts, expected = golden()
        answer = client.post("/v1/models/minilm/embed", json={"input": texts})
        assert answer.status_code == 200, answer.text
        assert answer.json()["dim"] == 384
        np.testing.assert_allclose(answer.json()["embeddings"], expected, atol=1e-4)
        alone = [client.post("/v1/models/minilm@1/embed", json={"input": text}).json() for text in texts[:4]]
        np.testing.assert_allclose([one["embeddings"][0] for one in alone], expected[:4], atol=1e-4)
        refused = client.post("/v1/models/minilm/embed", json={"input": ["a", 1]})
        assert (refused.status_code, refused.json()["error"]["param"]) == (422, "input[1]")
        assert client.post("/v1/models/minilm/predict", json={"instances": ["a"]}).status_code == 422
