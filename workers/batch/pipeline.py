"""Reading, predicting and writing side by side: a reader ahead, several predictors, the results in order.

ONNX Runtime and pyarrow release the interpreter's lock, so threads do.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_READ_AHEAD: Final = 2


def ordered(items: Iterator[T], work: Callable[[T], R], threads: int) -> Generator[R, None, None]:
    """Yield `work(item)` of every item, in order, from `threads` threads; memory holds a few items.

    What an item or its work raises is raised here. Closing the iterator waits for what is under way.
    """
    with (
        ThreadPoolExecutor(1, thread_name_prefix="read") as reader,
        ThreadPoolExecutor(threads, thread_name_prefix="predict") as pool,
    ):
        # One thread runs the iterator, so it is never entered twice.
        ahead: deque[Future[T | None]] = deque(reader.submit(next, items, None) for _ in range(_READ_AHEAD))
        waiting: deque[Future[R]] = deque()
        while (item := ahead.popleft().result()) is not None:
            ahead.append(reader.submit(next, items, None))
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
