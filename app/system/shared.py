"""One set of figures for several API processes: each writes its own into a folder, whoever is asked adds them up.

The files are those of prometheus_client's multiprocess mode, and it is what adds them up. They are written here
once a second rather than at every observation, because a prediction has no time for it (see `app.inference.figures`).
"""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

WRITE_SECONDS = 1.0
# By type of metric, the beginning of the file's name, from which the library knows how to add up.
_FILES = {"counter": "counter", "histogram": "histogram", "gauge": "gauge_livesum"}


class SharedFigures(Collector):
    """The figures of all processes that write into `folder`, among them this one's, from `own`."""

    def __init__(self, folder: Path, own: Collector) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._own = own
        self._files = {
            kind: MmapedDict(str(folder / f"{prefix}_{os.getpid()}.db"))  # type: ignore[no-untyped-call]
            for kind, prefix in _FILES.items()
        }
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write_often, name="figures", daemon=True)

    def start(self) -> None:
        """Write every second, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Write once more, and end the thread: what was counted stays counted."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self.write()

    def collect(self) -> Iterator[Metric]:
        """Yield the sums; a gauge counts only while its process lives, a counter for good."""
        self.write()
        with suppress(FileNotFoundError):  # another process has just removed the same file
            for file in self._folder.glob("gauge_*.db"):
                pid = int(file.stem.rpartition("_")[2])
                if not _lives(pid):
                    mark_process_dead(pid, str(self._folder))  # type: ignore[no-untyped-call]
        everybody = MultiProcessCollector(None, path=str(self._folder))  # type: ignore[no-untyped-call]
        yield from everybody.collect()  # type: ignore[no-untyped-call]

    def write(self) -> None:
        """Write the figures of this process."""
        with self._lock:
            for family in self._own.collect():
                previous = 0.0
                for sample in family.samples:
                    value = sample.value
                    if family.type == "histogram":
                        if sample.name.endswith("_count"):
                            continue  # the library makes it from the buckets
                        if sample.name.endswith("_bucket"):
                            # Each of ours holds those below it too; in the files each stands alone.
                            value, previous = sample.value - previous, sample.value
                            previous = 0.0 if sample.labels["le"] == "+Inf" else previous
                    self._files[family.type].write_value(_key(family, sample), value, 0.0)  # type: ignore[no-untyped-call]

    def _write_often(self) -> None:
        while not self._over.wait(WRITE_SECONDS):
            self.write()


def _key(family: Metric, sample: Sample) -> str:
    labels = sample.labels
    return mmap_key(family.name, sample.name, list(labels), list(labels.values()), family.documentation)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
