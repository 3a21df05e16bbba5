"""LLVM in a process of its own, for whoever must outlive it: services, language servers, fuzzers.

LLVM ends the process that it runs in when its back end meets what it cannot do (see `grafting.lowering.llvm`). Here
that ends a worker, which becomes an `InternalError` in the caller and is replaced at the next request; so does one that
takes longer than `limits.COMPILE_SECONDS`. A worker serves one request at a time and any number of them, since starting
one costs twenty times what a compilation does.

    with Worker() as worker:
        data = worker.emit_object(text)

Requests and answers are frames on the worker's standard input and output: a byte that tells the kind, four bytes of
length, the data.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from grafting import limits
from grafting.diagnostics import InternalError
from grafting.lowering import llvm

_HEAD = struct.Struct("<BI")
_OBJECT: Final = 0  # a module's text, or the object made of it
_ERROR: Final = 1  # the message of an InternalError
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


class Worker:
    """A process that compiles. It is started by the first request, and is used by one thread at a time."""

    def __init__(self, *, seconds: float = limits.COMPILE_SECONDS) -> None:
        self._seconds = seconds
        self._running: _Running | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def emit_object(self, text: str) -> bytes:
        """As `llvm.emit_object`. Raises InternalError also where the process dies or is too slow."""
        with self._lock:
            if self._running is None:
                self._running = _Running()
            try:
                kind, answer = self._running.request(text.encode(), self._seconds)
            except InternalError:
                self._running = None
                raise
        if kind == _ERROR:
            raise InternalError(answer.decode())
        return answer

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            if self._running is not None:
                self._running.end()
                self._running = None


class _Running:
    """A worker process; once a request has failed, it has ended."""

    def __init__(self) -> None:
        self._late = False
        # A file, since a pipe that nobody reads would stop a talkative process.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `end`)
        path = os.pathsep.join(filter(None, (str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH", ""))))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],  # -P: modules of the current directory are not ours
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path},
        )

    def request(self, data: bytes, seconds: float) -> tuple[int, bytes]:
        """Return the kind and the data of the answer. Raises InternalError if there is none."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        alarm = threading.Timer(seconds, self._stop)
        alarm.start()
        try:
            process.stdin.write(_HEAD.pack(_OBJECT, len(data)) + data)
            process.stdin.flush()
            return _read_frame(process.stdout)
        except (OSError, EOFError) as error:
            said = self.end() or f"status {process.returncode}"
            reason = f"took more than {seconds:g} s" if self._late else f"died: {said}"
            raise InternalError(f"the compiler process {reason}") from error
        finally:
            alarm.cancel()

    def _stop(self) -> None:
        self._late = True
        self._process.kill()

    def end(self) -> str:
        """Let the process end, by the end of its input, and return what it said on standard error."""
        try:
            self._process.communicate()
        except OSError:  # it died with a request half written
            self._process.wait()
        with self._errors:
            self._errors.seek(0)
            return self._errors.read().decode(errors="replace").strip()


def _read_frame(stream: IO[bytes]) -> tuple[int, bytes]:
    kind, length = _HEAD.unpack(_read(stream, _HEAD.size))
    return kind, _read(stream, length)


def _read(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Compile modules from one stream to another, until the first ends: what a worker process runs."""
    while True:
        try:
            _, text = _read_frame(requests)
        except EOFError:
            return
        try:
            kind, answer = _OBJECT, llvm.emit_object(text.decode())
        except InternalError as error:
            kind, answer = _ERROR, str(error).encode()
        answers.write(_HEAD.pack(kind, len(answer)) + answer)
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
