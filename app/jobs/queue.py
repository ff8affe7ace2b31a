"""The bell: a message that wakes a worker. The row in the database is the truth (DESIGN.md §4)."""

import contextlib
import logging
import queue
import threading

import redis.exceptions
from celery import Celery
from kombu.exceptions import OperationalError

TASK = "trainyard.run"
TIMEOUT_SECONDS = 0.5
# More than these at once only says that work is there, which the first of them says too.
MAX_WAITING = 1000


def celery_queue(name: str) -> str:
    """Return the name of the Celery queue that the workers of our queue `name` listen to."""
    return f"trainyard.{name}"


_UNREACHABLE = (OperationalError, redis.exceptions.RedisError, OSError)
_log = logging.getLogger("trainyard.bell")


class Bell:
    """Rings for jobs from a thread of its own: a request neither waits for the broker nor fails with it.

    What is not delivered is not tried again here: the sweep rings again, and idle workers look
    into the database.
    """

    def __init__(self, broker_url: str) -> None:
        self._app = Celery("trainyard", broker=broker_url, set_as_current=False)
        self._app.conf.update(
            task_serializer="json",
            task_ignore_result=True,
            task_publish_retry=False,
            broker_connection_timeout=TIMEOUT_SECONDS,
            broker_pool_limit=1,
            broker_transport_options={
                "socket_connect_timeout": TIMEOUT_SECONDS,
                "socket_timeout": TIMEOUT_SECONDS,
                "max_retries": 0,
            },
        )
        self._waiting: queue.Queue[tuple[str, str, str] | None] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the thread, unless it runs; `ring` does so too."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._deliver, name="bell", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Deliver what waits, as far as the broker answers, and end the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None and thread.is_alive():
            try:
                self._waiting.put(None, timeout=TIMEOUT_SECONDS)
            except queue.Full:
                return
            thread.join(4 * TIMEOUT_SECONDS)

    def ring(self, job_id: str, project: str, name: str = "default") -> None:
        """Have a worker of queue `name` look for this job; returns at once, whatever the broker does."""
        try:
            self._waiting.put_nowait((job_id, project, name))
        except queue.Full:
            _log.warning("bell dropped", extra={"job": job_id, "project": project})
            return
        self.start()

    def ping(self) -> bool:
        """Tell whether the broker answers."""
        try:
            with self._app.connection_for_write() as connection:
                connection.default_channel  # noqa: B018  (opening a channel asks the broker)
        except _UNREACHABLE:
            return False
        return True

    def _deliver(self) -> None:
        while (ring := self._waiting.get()) is not None:
            job_id, project, name = ring
            try:
                self._app.send_task(TASK, args=[job_id], queue=celery_queue(name), ignore_result=True, retry=False)
            except _UNREACHABLE as error:
                # The message may hold the broker's URL, and with it a password: only its kind is logged.
                reason = type(error).__name__
                _log.warning("bell not delivered", extra={"job": job_id, "project": project, "reason": reason})
                if self._drop_waiting():
                    return

    def _drop_waiting(self) -> bool:
        """Drop what would fail too, a time-out each; tell whether `stop` was among it."""
        dropped = 0
        with contextlib.suppress(queue.Empty):
            while self._waiting.get_nowait() is not None:
                dropped += 1
            return True
        if dropped:
            _log.warning("bells dropped", extra={"count": dropped})
        return False
