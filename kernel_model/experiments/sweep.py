"""Run every point of a grid, in any order, and lose nothing when it is killed.

A sweep writes a **journal**: one line of JSON a point, appended when the point is done. The journal is the only state.

    sweep(points, Path("out.csv.journal"), pool)        runs what the journal does not have
    records(points, Path("out.csv.journal"))            the results so far, in the order of the grid

What is guaranteed, however the sweep ends (an error, SIGKILL, a full disk, the machine going down):

- *Never twice.* A line has the key of its run: the digest of the completed point, of the graft and profile that it
  names (their content, not their file names) and of the code (`provenance`). What is in the journal is not run again,
  and a line made from another graft, other prices or other code has another key and is never taken for this one.
- *Never half a line.* A line is one `write` to a file opened for appending. If that was cut off, the file does not end
  in a line feed; the next sweep cuts the torn end off before it appends.
- *One at a time.* The journal is locked while a sweep writes (flock(2)); a second sweep on it is refused.

A point that cannot be run (its graft is refused, an answer is wrong) is written with its error and does not stop the
others; it is the only kind that the next sweep tries again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from grafting.diagnostics import GraftError, fail
from jit.hot import TierName
from kernel_model.experiments.point import Point
from kernel_model.experiments.preparation import completed, profile_of
from kernel_model.experiments.provenance import code_digest
from kernel_model.experiments.run import run
from kernel_model.experiments.workers import Workers, in_any_order
from kernel_model.mechanisms.scenario import CannotExpress
from kernel_model.results.comparison import measured

Record = dict[str, Any]
Task = Callable[[Point], Record]


def result_of(point: Point, tier: TierName = "numba") -> Record:
    """Run a point and return its fields and what it showed, as plain data. Raises as `run` does."""
    result = run(point, tier=tier)
    if isinstance(result, CannotExpress):
        return point.as_dict() | {"cannot_express": result.reason}
    return point.as_dict() | measured(result)


def key_of(point: Point) -> str:
    """Return the digest of all that decides the result of a completed point."""
    inputs = [point.as_dict(), _graft_digest(point.graft), profile_of(point.profile).digest, code_digest()]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:32]


@cache
def _graft_digest(path: str | None) -> str:
    return "" if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()


def sweep(
    points: Sequence[Point],
    journal: Path,
    pool: Workers,
    *,
    task: Task = result_of,
    progress: Callable[[int, str], None] = lambda _done, _what: None,
) -> int:
    """Run the points that the journal does not have and append them; return how many ended in an error.

    `progress` is called with how many points of all are done, at the start and after each. Raises GraftError G0864 if
    another sweep is writing this journal, OSError if it cannot be written.
    """
    keyed = {key_of(point): point for point in map(completed, points)}
    with _appending(journal) as append:
        done = {key for key, record in lines(journal) if key in keyed and "error" not in record}
        left = [(key, point) for key, point in keyed.items() if key not in done]
        finished, failed = len(done), 0
        progress(finished, "")
        for number, future in in_any_order(pool, task, [point for _, point in left]):
            key, point = left[number]
            error = future.exception()
            if isinstance(error, GraftError):
                failed += 1
                said = "; ".join(f"{each.code}: {each.message}" for each in error.diagnostics)
                append(key, point.as_dict() | {"error": said})
            else:
                append(key, future.result())
            finished += 1
            progress(finished, f"{point.profile}, {point.topology}, {point.mechanism}")
    return failed


def records(points: Sequence[Point], journal: Path) -> list[Record]:
    """Return what the journal has of these points, in their order; what was run twice by its last line."""
    found = dict(lines(journal))
    return [found[key] for key in dict.fromkeys(map(key_of, map(completed, points))) if key in found]


def lines(journal: Path) -> Iterator[tuple[str, Record]]:
    """Yield key and record of each whole line of a journal; nothing if there is none."""
    if not journal.exists():
        return
    for line in journal.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            entry = json.loads(line)
            yield entry["key"], entry["record"]


@contextlib.contextmanager
def _appending(journal: Path) -> Iterator[Callable[[str, Mapping[str, Any]], None]]:
    """Open a journal that this process alone appends to, cut to whole lines."""
    descriptor = os.open(journal, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise fail("G0864", f"another sweep is writing {journal}") from error
        whole = journal.read_bytes().rfind(b"\n") + 1
        os.ftruncate(descriptor, whole)

        def append(key: str, record: Mapping[str, Any]) -> None:
            line = json.dumps({"key": key, "record": record}).encode() + b"\n"
            if os.write(descriptor, line) != len(line):
                raise OSError(28, "the journal could not be written", str(journal))

        yield append
    finally:
        os.close(descriptor)
