"""A server of one slow model, for tests over real sockets: `python -m tests.inference.slow_server HOME QUEUE_ROWS`.

Writes its port to standard output when it is ready. One row takes about a millisecond.
"""

import sys
from pathlib import Path
from typing import Any

import uvicorn

from app.core.settings import Settings
from app.serve import make_config
from tests.inference.bundles import array_bundle
from tests.inference.serving import Serving


def main() -> None:
    home, queue_rows = Path(sys.argv[1]), int(sys.argv[2])
    serving = Serving(Settings(home=home, predict_queue_rows=queue_rows, predict_timeout_seconds=5.0))
    array_bundle(home / "slow", hidden=3000)
    serving.models.publish("slow", 1, home / "slow")

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await serving.app(scope, receive, send)
            return
        await receive()
        await serving.service.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await serving.service.stop()
        await send({"type": "lifespan.shutdown.complete"})

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            print(self.servers[0].sockets[0].getsockname()[1], flush=True)

    Announcing(make_config(app)).run()


if __name__ == "__main__":
    main()
