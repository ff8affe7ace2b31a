"""The servers that `benchmarks.predict` compares.

    python -m benchmarks.predict_servers bare|bare-tuned|route|trainyard PORT FOLDER

`bare`: an ASGI callable that answers a constant, by uvicorn without access log. `bare-tuned`: the same by the
options of `app.serve`. `route`: a FastAPI route with a body model, which calls a concrete `tf.function` of the
same network, by uvicorn. `trainyard`: this service.
"""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from app.serve import make_config, tune_collector

ANSWER = (
    b'{"predictions":[{"label":3,"score":0.19021061,"scores":{"0":0.09019,"1":0.1003,"2":0.1008,"3":0.19021061,'
    b'"4":0.1022,"5":0.1007,"6":0.0955,"7":0.0805,"8":0.0801,"9":0.0709}}],"model":{"name":"dense","version":1}}'
)


def make_bare() -> Callable[..., Awaitable[None]]:
    """Return the callable that everything else is measured against."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]

    async def bare(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": ANSWER})

    return bare


def make_route(folder: Path) -> Any:
    """Return what one would write without this service: FastAPI, pydantic and a traced TensorFlow function."""
    import tensorflow as tf
    from fastapi import FastAPI
    from pydantic import BaseModel

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    stored = np.load(folder / "layers.npz")
    layers = [(tf.constant(stored[f"w{index}"]), tf.constant(stored[f"b{index}"])) for index in range(3)]

    @tf.function
    def network(x: Any) -> Any:
        for kernel, bias in layers[:-1]:
            x = tf.nn.relu(tf.matmul(x, kernel) + bias)
        return tf.nn.softmax(tf.matmul(x, layers[-1][0]) + layers[-1][1])

    concrete = network.get_concrete_function(tf.TensorSpec([None, 10], tf.float32))
    app = FastAPI()

    class Request(BaseModel):
        instances: list[list[float]]

    @app.post("/v1/models/dense/predict")
    async def predict(request: Request) -> dict[str, Any]:
        rows = concrete(tf.constant(request.instances, tf.float32)).numpy()
        predictions = [
            {
                "label": int(row.argmax()),
                "score": float(row.max()),
                "scores": {str(index): float(score) for index, score in enumerate(row)},
            }
            for row in rows
        ]
        return {"predictions": predictions, "model": {"name": "dense", "version": 1}}

    return app


def main() -> None:
    """Serve one of them until it is terminated."""
    name, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    app: Any
    if name.startswith("bare"):
        app = make_bare()
    elif name == "route":
        app = make_route(folder)
    else:
        from app.core.settings import Settings
        from app.main import create_app

        app = create_app(Settings(home=folder / "home", log_level="WARNING"))
    if name in ("bare", "route"):
        config = uvicorn.Config(app, port=port, log_config=None, access_log=False)
    else:
        config = make_config(app, port)
        tune_collector()
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
