"""One API process: `python -m app.serve --socket N`, on a socket that its parent has bound."""

import argparse
import socket

import uvicorn

from app.core.logging import configure_logging
from app.core.settings import Settings
from app.main import create_app

# How long open requests may go on after SIGTERM; a prediction takes at most predict_timeout_seconds anyway.
GRACEFUL_SECONDS = 10
BACKLOG = 2048


def main() -> None:
    """Serve until SIGTERM, then finish what is under way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", type=int, required=True, help="inherited descriptor of the listening socket")
    options = parser.parse_args()
    settings = Settings()
    configure_logging(settings.log_level)
    config = uvicorn.Config(
        create_app(settings),
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=options.socket)])


if __name__ == "__main__":
    main()
