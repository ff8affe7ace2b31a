"""One request's share of the work of a model, from the queue to its encoded answer."""

import asyncio
import enum
from typing import Any

import orjson

from app.core.errors import TrainyardError
from app.inference.predictor import Predictor
from app.inference.rows import Rows


class Form(enum.Enum):
    """How an answer is written."""

    NATIVE = "predictions"
    """`{"predictions": [{"label", …}], "model": {…}}` (API.md §6)"""
    TF_ROWS = "tf_rows"
    """`{"predictions": [[…], …]}`, TensorFlow Serving's row form"""
    TF_COLUMNS = "tf_columns"
    """`{"outputs": [[…], …]}`, TensorFlow Serving's column form"""
    EMBED = "embeddings"
    """`{"embeddings": [[…], …], "dim", "model"}` (API.md §6)"""


class Work:
    """Checked rows that wait for their model, and then what became of them: `body` or `error`.

    `arrived` and `deadline` are `time.perf_counter()` seconds.
    """

    body: bytes | None = None
    error: TrainyardError | None = None
    future: asyncio.Future[None] | None = None
    is_left = False
    """Nobody waits for the answer any more: the client hung up, or the deadline has passed."""
    queue_ms = 0.0
    inference_ms = 0.0

    def __init__(self, rows: Rows, size: int, form: Form, arrived: float = 0.0, deadline: float = 0.0) -> None:
        self.rows = rows
        self.size = size
        self.form = form
        self.arrived = arrived
        self.deadline = deadline

    @property
    def is_done(self) -> bool:
        """Whether there is an answer or an error."""
        return self.body is not None or self.error is not None

    def wake(self) -> None:
        """Let the request that waits go on; on the event loop only."""
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


class Encoder:
    """Writes the answers of one model version as JSON."""

    def __init__(self, predictor: Predictor, name: str, version: int) -> None:
        self.predictor = predictor
        # The head and tail never change: only the predictions are encoded for a request.
        self._tail = b',"model":' + orjson.dumps({"name": name, "version": version}) + b"}"

    def empty(self, form: Form) -> bytes:
        """Return the body for a request without instances."""
        if form is Form.NATIVE:
            return b'{"predictions":[]' + self._tail
        return b'{"predictions":[]}' if form is Form.TF_ROWS else b'{"outputs":[]}'

    def encode(self, batch: list[Work], outputs: Any) -> list[bytes]:
        """Return the body of each work of a batch from all their outputs, in order."""
        predictor = self.predictor
        values = predictor.values(outputs)
        answers: list[bytes] = []
        bodies = []
        start = 0
        for work in batch:
            stop = start + work.size
            if work.form is Form.NATIVE:
                answers = answers or predictor.encode(values)
                answer = answers[start] if work.size == 1 else b",".join(answers[start:stop])
                bodies.append(b'{"predictions":[%b]%b' % (answer, self._tail))
            else:
                is_rows = work.form is Form.TF_ROWS
                part = (predictor.encode_rows if is_rows else predictor.encode_columns)(values[start:stop])
                bodies.append((b'{"predictions":' if is_rows else b'{"outputs":') + part + b"}")
            start = stop
        return bodies
