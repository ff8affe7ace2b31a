"""One API process: `python -m app.serve --socket N`, on a socket that its parent has bound."""

import argparse
import gc
import socket
from pathlib import Path

import uvicorn

from app.core.asgi import App
from app.core.logging import configure_logging
from app.core.one_write import OneWriteProtocol
from app.core.settings import Settings
from app.main import create_app

# How long open requests may go on after SIGTERM; a prediction takes at most predict_timeout_seconds anyway.
GRACEFUL_SECONDS = 10
BACKLOG = 2048


def main() -> None:
    """Serve until SIGTERM, then finish what is under way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", type=int, required=True, help="inherited descriptor of the listening socket")
    parser.add_argument("--figures", type=Path, help="folder in which several API processes share their figures")
    options = parser.parse_args()
    settings = Settings()
    configure_logging(settings.log_level)
    app = create_app(settings, options.figures)
    tune_collector()
    uvicorn.Server(make_config(app)).run(sockets=[socket.socket(fileno=options.socket)])


def tune_collector() -> None:
    """Keep the collector of cycles out of the way of requests; to be called once everything is built."""
    # What is built by now lives as long as the process: 150,000 objects, which a full collection would walk again
    # and again, answering nothing for 80 to 300 ms (measured); frozen, it takes microseconds.
    gc.collect()
    gc.freeze()
    # 30 requests under way are a thousand young objects. At the default of 700 every turn of the loop would look
    # through them and find nothing: 2 of 43 µs a request (measured).
    gc.set_threshold(20_000, 20, 50)


def make_config(app: App, port: int = 0) -> uvicorn.Config:
    """Return how `app` is served: by what costs least a request, and nothing that is not used."""
    return uvicorn.Config(
        app,
        port=port,
        http=OneWriteProtocol,
        ws="none",
        proxy_headers=False,  # nothing here asks for a client's address
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )


if __name__ == "__main__":
    main()
