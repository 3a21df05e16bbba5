"""LLVM as a service: IR text in, eBPF object out.

**Passes.** `sroa, simplify_cfg, new_gvn, dead_code_elimination` and no others. The bytecode has to be verified, so what
counts beside its size is that every check still stands beside the access that it guards. Loop passes rewrite `i < n`
into `i != n` and indices into byte offsets; instruction combining folds two comparisons into one on a new value. On a
search in a B-tree node the short list gives 29 instructions and 15,341 steps of Linux's verifier, O2 gives 35 and
254,771.

**Death.** LLVM's BPF back end reports what it cannot do by ending the process with status 1: no exception, no
`finally`. What triggers it is kept out by construction, each item where it would arise:

    a frame over 512 bytes              `-bpf-stack-size` here, so that our verifier reports it with a source line
    over 5 arguments, aggregate results every function is `i64 (ptr)`, helpers have at most 5 operands (hooks)
    signed division before cpu v4       the target machine is v4
    i128, `with.overflow`               lowering has i64 and narrower only
    `unreachable`, varargs, exceptions  never emitted; functions are `nounwind`
    long or dynamic memset and memcpy   explicit stores to 128 bytes, helpers beyond; no loop-idiom pass

A long-lived process that compiles strangers' programs uses a `Worker` nevertheless.
"""

from __future__ import annotations

import functools
import struct
import subprocess
import sys
import threading
from types import TracebackType
from typing import IO, Any

from grafting.diagnostics import InternalError

_TRIPLE, _CPU = "bpfel", "v4"
_OPTIONS = (
    "-bpf-stack-size=32767",  # the reach of a 16-bit offset; the real limit is the verifier's to report
    "-enable-tail-merge=false",  # calls that differ in their line only stay apart, with their lines
)


@functools.cache
def _machine() -> Any:
    """Initialise LLVM, once a process, and return the BPF target machine."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    for option in _OPTIONS:
        llvm.set_option("", option)
    return llvm.Target.from_triple(_TRIPLE).create_target_machine(cpu=_CPU, opt=2)


def _optimised(text: str) -> Any:
    """Parse, verify and optimise a module; raises InternalError where LLVM refuses it."""
    import llvmlite.binding as llvm

    machine = _machine()
    try:
        module = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        raise InternalError(f"LLVM refuses the generated code: {error}") from error
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_new_gvn_pass()
    passes.add_dead_code_elimination_pass()
    passes.run(module, builder)
    return module


def optimised_text(text: str) -> str:
    """Return the module after the passes, as text. Raises InternalError."""
    return str(_optimised(text))


def emit_object(text: str) -> bytes:
    """Compile a module into a relocatable BPF object, DWARF included. Raises InternalError.

    Must not be given IR that others wrote: see "Death" above.
    """
    return bytes(_machine().emit_object(_optimised(text)))


# --- the worker ------------------------------------------------------------------------------------------------------

_FRAME = struct.Struct("<BI")  # 0 object, 1 InternalError; length of what follows
_OBJECT, _ERROR = 0, 1


class Worker:
    """A process that compiles, so that LLVM's death is not ours. A dead one is replaced at the next request.

        with Worker() as worker:
            data = worker.emit_object(text)
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def emit_object(self, text: str) -> bytes:
        """As `emit_object`; if the process dies, raises InternalError with what it last wrote."""
        with self._lock:
            process = self._process or self._start()
            assert process.stdin is not None and process.stdout is not None
            data = text.encode()
            try:
                process.stdin.write(_FRAME.pack(_OBJECT, len(data)) + data)
                process.stdin.flush()
                status, answer = _read_frame(process.stdout)
            except (OSError, EOFError) as error:
                raise InternalError(f"the compiler process died: {self._bury()}") from error
        if status == _ERROR:
            raise InternalError(answer.decode())
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "grafting.llvm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return self._process

    def _bury(self) -> str:
        assert self._process is not None
        _, text = self._process.communicate()
        status, self._process = self._process.returncode, None
        return text.decode(errors="replace").strip() or f"status {status}"

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.communicate()
            self._process = None


def compile_in_worker(text: str) -> bytes:
    """Compile one module in a process of its own. Raises InternalError, also where the process dies."""
    with Worker() as worker:
        return worker.emit_object(text)


def _read_frame(stream: IO[bytes]) -> tuple[int, bytes]:
    status, length = _FRAME.unpack(_read(stream, _FRAME.size))
    return status, _read(stream, length)


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
            status, answer = _OBJECT, emit_object(text.decode())
        except InternalError as error:
            status, answer = _ERROR, str(error).encode()
        answers.write(_FRAME.pack(status, len(answer)) + answer)
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
