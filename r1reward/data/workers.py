"""Pool of worker processes: results in order, few pieces in flight, no process left behind."""

import multiprocessing
import os
import resource
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from r1reward.core.errors import UserError

_T = TypeVar("_T")


class WorkerError(UserError):
    """Processes that cannot be had, or that died, with what to change."""


def workers_of(number: int | None) -> int:
    """Return a number of processes: the one configured, or one for each core at hand."""
    if number is not None and (type(number) is not int or number < 1):
        raise WorkerError(f"workers={number}: give 1 or more, or null")
    return number or len(os.sched_getaffinity(0))


def in_order(
    function: Callable[..., _T], tasks: Iterable[tuple[object, ...]], workers: int
) -> Iterator[_T]:
    """Yield ``function(*task)`` for each task, in their order; some wait, the others are unread.

    One worker is this process. The processes end with this one, however it ends, and leave
    interrupts to it.

    Raises:
        WorkerError: when a process died.
    """
    if workers <= 1:
        yield from (function(*task) for task in tasks)
        return
    waiting, running = iter(tasks), deque[Future[_T]]()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker)
    try:
        running.extend(pool.submit(function, *task) for task in islice(waiting, 2 * workers))
        while running:
            result = running.popleft().result()
            running.extend(pool.submit(function, *task) for task in islice(waiting, 1))
            yield result
    except BrokenProcessPool:
        raise WorkerError("a worker died, for want of memory perhaps; set fewer workers") from None
    finally:
        pool.shutdown(cancel_futures=True)


def peak_bytes() -> int:
    """Return the most memory that this process, or one it started and saw end, has used."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(each).ru_maxrss for each in who) * 1024


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
