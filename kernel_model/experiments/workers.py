"""Where points are run: here, in processes on all cores, or on a Dask cluster.

    with workers(jobs=4) as pool:
        for number, future in in_any_order(pool, run, points): ...

A point is small and decides its run, so it does not matter where that is, nor in which order results come back. At most
a few points for each worker are under way at once: a grid of a million points is not a million futures.

Processes are spawned, not forked: a fork would take over locks of numba and LLVM in whatever state they are. Dask is an
extra (`pip install 'grafting[cluster]'`); files that points name (profiles, grafts) must be found on every machine.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from grafting.diagnostics import fail

A = TypeVar("A")
R = TypeVar("R")

AHEAD = 2  # points under way for each worker: while one runs the next is on its way to it


@dataclass(frozen=True, slots=True)
class Workers:
    """What runs points, and how many may be under way at once."""

    executor: Executor
    limit: int


class Here(Executor):
    """Runs what is submitted at once, in this process."""

    def submit(self, function: Callable[..., R], /, *args: object, **kwargs: object) -> Future[R]:
        """Return a future that is done. An exception is kept in it."""
        future: Future[R] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


HERE = Workers(Here(), 1)


@contextlib.contextmanager
def workers(jobs: int | None = None, cluster: str | None = None) -> Iterator[Workers]:
    """Give `jobs` processes (None: one for each core; 1: this one), or the workers of a Dask cluster.

    `cluster` is the address of a scheduler, tcp://HOST:PORT. Raises GraftError G0862 if Dask is not installed, G0863 if
    there is no scheduler at that address.
    """
    count = jobs or os.cpu_count() or 1
    if cluster is not None:
        with _dask(cluster) as found:
            yield found
    elif count == 1:
        yield Workers(Here(), 1)
    else:
        with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield Workers(pool, AHEAD * count)


@contextlib.contextmanager
def _dask(address: str) -> Iterator[Workers]:
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise fail("G0862", "a cluster needs Dask", helps=("pip install 'grafting[cluster]'",)) from error
    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise fail("G0863", f"no Dask scheduler answers at {address}: {error}") from error
    with client, client.get_executor(pure=False) as executor:
        yield Workers(executor, AHEAD * max(1, sum(client.nthreads().values())))


def in_any_order(pool: Workers, function: Callable[[A], R], arguments: Iterable[A]) -> Iterator[tuple[int, Future[R]]]:
    """Yield the number of each argument and its finished future, in the order in which they finish.

    If the caller stops early, what waits is cancelled; the result of what runs is dropped.
    """
    rest, running = enumerate(arguments), dict[Future[R], int]()
    try:
        while True:
            while len(running) < pool.limit and (following := next(rest, None)) is not None:
                number, argument = following
                running[pool.executor.submit(function, argument)] = number
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future
    finally:
        for future in running:
            future.cancel()


def in_order(pool: Workers, function: Callable[[A], R], arguments: Iterable[A]) -> Iterator[R]:
    """Yield the results in the order of the arguments. Raises what a call raised."""
    waiting: dict[int, R] = {}
    following = 0
    for number, future in in_any_order(pool, function, arguments):
        waiting[number] = future.result()
        while following in waiting:
            yield waiting.pop(following)
            following += 1
