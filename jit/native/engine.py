"""The native engine: machine code for the handlers of a verified program.

    engine = jit.compile_native(verified)           # TypeError for anything but a Verified
    engine.run(memory)                              # a raw program: r0
    jit.activate(engine, "reply", message, state)   # a graft's handler
    engine.address("reply/disk.read")               # for compiled callers, see `jit.native.entry`

Code comes in two variants, with or without counters of instructions by class, each made when it is first needed: taken
from the cache if it is there (`cache`), else compiled. Programs that are equal share it within a process; it is
unmapped when the last engine that uses it goes.

An engine keeps of the proof only the bounds: the states are many times as large as the code. If another variant must be
compiled later, the program is verified once more.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grafting import hooks, isa
from grafting.costs import CostVector
from grafting.diagnostics import fail
from grafting.isa import CallLocal
from jit.native import arithmetic, cache, facts, llvm, lowering, map_code, wrappers

if TYPE_CHECKING:
    from grafting.program import Handler, Program
    from verifier import Verified

_RUN = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p)
_MANY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
_ALIGNMENT = 8  # of context and body where the hook demands aligned accesses, bytes

_loaded: weakref.WeakValueDictionary[str, llvm.Library] = weakref.WeakValueDictionary()
_loading = threading.Lock()


class NativeEngine:
    """A verified program as machine code, see `compile_native`."""

    def __init__(self, verified: Verified, *, counting: bool = False) -> None:
        from verifier import Verified

        if type(verified) is not Verified:
            what = type(verified).__name__
            raise TypeError(f"only a Verified can be compiled, not {what}: call verifier.verify first")
        self.program = verified.program
        self.bounds: Mapping[str, CostVector] = {name: proof.bounds for name, proof in verified.handlers.items()}
        self._symbols = {handler.name: symbol for handler, symbol in _handlers(self.program)}
        self._calling = frozenset(handler.name for handler in self.program.handlers if _calls(handler))
        self._variants = {counting: _library(self.program, lambda: verified, counting)}

    def __repr__(self) -> str:
        return f"<NativeEngine {self.program.name}>"

    def address(self, handler: str, *, counting: bool = False) -> int:
        """Return the address of a handler's function (`lowering`), valid as long as this engine lives.

        `counting`: of the variant that counts instructions and helpers. Raises KeyError.
        """
        return self._library(counting=counting).addresses[self._symbols[handler]]

    def has_calls(self, handler: str) -> bool:
        """Whether a handler calls local functions, so that its helpers may be given addresses in several frames."""
        return handler in self._calling

    def prepare(self, *, counting: bool = False) -> None:
        """Make one variant now, so that nothing need be compiled later."""
        self._library(counting=counting)

    def _library(self, *, counting: bool) -> llvm.Library:
        if counting not in self._variants:
            self._variants[counting] = _library(self.program, self._verified, counting)
        return self._variants[counting]

    def _verified(self) -> Verified:
        import verifier

        return verifier.verify(self.program)

    # --- raw programs ------------------------------------------------------------------------------------------------

    def run(self, memory: bytearray) -> int:
        """Run a raw program on `memory`, which must have the size of its hook; returns r0, unsigned.

        A hook that lets it write has it change `memory`. Raises GraftError G0703 for memory of another size or a
        program that has no raw hook, TypeError if it is no bytearray.
        """
        if not isinstance(memory, bytearray):
            raise TypeError(f"memory must be a bytearray, not {type(memory).__name__}")
        raw = self._raw
        if len(memory) != raw.size:
            raise fail("G0703", f"the hook has {raw.size} bytes of memory, {len(memory)} are given")
        return raw.run(memory)

    def run_many(self, memories: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
        """Run a raw program on each row of an array of bytes, (n, size of the hook's memory); returns n times r0.

        The rows are changed as `run` changes its memory. Nothing is done in Python for each. Raises GraftError G0703
        for another shape, or rows that are read-only where the hook lets the program write, TypeError for anything
        but an array of bytes.
        """
        if not isinstance(memories, np.ndarray) or memories.dtype != np.uint8:
            raise TypeError("memories must be an array of uint8")
        raw = self._raw
        if memories.ndim != 2 or memories.shape[1] != raw.size:
            raise fail("G0703", f"memories must be of the shape (n, {raw.size}), not {memories.shape}")
        if raw.writes and not memories.flags.writeable:
            raise fail("G0703", "a program of this hook may change its memory, and these memories are read-only")
        return raw.run_many(memories)

    @functools.cached_property
    def _raw(self) -> _Raw:
        handlers = self.program.handlers
        if len(handlers) != 1 or handlers[0].hook.event is not None:
            raise fail("G0703", f"`{self.program.name}` is not a program of one handler with a raw hook",
                       helps=("run a graft's handlers with `jit.activate`",))  # fmt: skip
        return _Raw(self, handlers[0])


class _Raw:
    """How a raw program is called. Code keeps nothing between runs, so threads may run it at once."""

    def __init__(self, engine: NativeEngine, handler: Handler) -> None:
        self.size = handler.hook.context_bytes
        self._bytes = ctypes.c_char * self.size
        self._aligned = handler.hook.aligned
        self.writes = handler.hook.context_writable
        self._code = engine.address(handler.name)
        around = surroundings().addresses
        self._run = _RUN(around[f"run_{handler.hook.memory}"])
        self._many = _MANY(around[f"many_{handler.hook.memory}"])

    def run(self, memory: bytearray) -> int:
        """Run on memory of the right size."""
        if not memory:
            return int(self._run(self._code, None))
        view = self._bytes.from_buffer(memory)
        at = ctypes.addressof(view)
        if self._aligned and at % _ALIGNMENT:
            return int(self.run_many(np.frombuffer(memory, np.uint8).reshape(1, -1))[0])
        return int(self._run(self._code, at))

    def run_many(self, memories: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
        """Run on rows of the right size; on a copy of them if they do not lie as the code needs them."""
        rows, results = memories, np.empty(len(memories), np.uint64)
        stride = memories.strides[0]
        misaligned = self._aligned and (stride % _ALIGNMENT or memories.ctypes.data % _ALIGNMENT)
        if misaligned or memories.strides[1] != 1:
            padded = -(-self.size // _ALIGNMENT) * _ALIGNMENT
            rows = np.zeros((len(memories), padded // 8), np.uint64).view(np.uint8)[:, : self.size]
            rows[:] = memories
            stride = padded
        self._many(self._code, rows.ctypes.data, stride, len(rows), results.ctypes.data)
        if rows is not memories and self.writes:
            memories[:] = rows
        return results


# --- making code ------------------------------------------------------------------------------------------------------


def compile_native(verified: Verified, *, counting: bool = False) -> NativeEngine:
    """Return the native engine of a verified program, one variant of its code being in memory.

    Raises TypeError for anything but a `Verified`, GraftError G0710 if a handler is too long once expanded.
    """
    return NativeEngine(verified, counting=counting)


@dataclass(frozen=True, slots=True)
class Module:
    """The IR of all handlers of a program; `long` as in `lowering.Native`."""

    text: str
    long: bool


def module(verified: Verified, *, counting: bool) -> Module:
    """Return the IR of all handlers of a program."""
    rows = map_code.layout(verified.program.maps)
    codes = [
        lowering.handler_ir(verified, handler, facts.of_handler(verified, handler), symbol, rows, counting=counting)
        for handler, symbol in _handlers(verified.program)
    ]
    used = sorted(frozenset().union(*(code.maps for code in codes)))
    maps = [map_code.functions(number, rows[number]) for number in used]
    text = "\n".join([map_code.COMMON, arithmetic.DECLARATIONS, *maps, *(code.text for code in codes)])
    return Module(text, any(code.long for code in codes))


def _calls(handler: Handler) -> bool:
    return any(isinstance(op, CallLocal) for op in handler.operations.values())


def _handlers(program: Program) -> list[tuple[Handler, str]]:
    """Return the handlers of a program and the names of their functions."""
    return [(handler, f"h{number}") for number, handler in enumerate(program.handlers)]


def _library(program: Program, proof: Callable[[], Verified], counting: bool) -> llvm.Library:
    """Return the code of a verified program, compiled by its proof if that has not been done."""
    symbols = tuple(symbol for _, symbol in _handlers(program))
    return _made(_name(program, counting), symbols, lambda: module(proof(), counting=counting))


@functools.cache
def surroundings() -> llvm.Library:
    """Return the code of `wrappers`."""
    name = hashlib.sha256(f"{_makers()} wrappers".encode()).hexdigest()
    return _made(name, wrappers.NAMES, lambda: Module(wrappers.module(), long=True))


def _made(name: str, symbols: tuple[str, ...], make: Callable[[], Module]) -> llvm.Library:
    """Return the code of this name: as it is in memory, from the cache, or compiled."""
    with _loading:
        found = _loaded.get(name)
    if found is not None:
        return found
    code = cache.find(name)
    if code is None:
        made = make()
        code = llvm.emit_object(made.text, thorough=made.long)
        cache.keep(name, code)
    with _loading:
        found = _loaded.get(name)
        if found is None:
            found = _loaded[name] = llvm.load(code, symbols)
    return found


def loaded(program: Program, *, counting: bool = False) -> llvm.Library | None:
    """Return the code of a program if some engine of this process has it in memory."""
    return _loaded.get(_name(program, counting))


def _name(program: Program, counting: bool) -> str:
    """Return a digest of all that the code depends on."""
    digest = hashlib.sha256(_makers().encode())
    for handler in program.handlers:
        hook = handler.hook
        known = hooks.GRAFT_HOOKS.get(hook.name) is hook  # then `_makers` has all of it
        digest.update(f"{hook.name if known else hook!r} {counting} {len(handler.instructions)}\n".encode())
        digest.update(isa.encode(handler.instructions))
    for spec in program.maps:
        digest.update(f"{spec.kind} {spec.key_size} {spec.value_size} {spec.max_entries} {spec.read_only}\n".encode())
        digest.update(hashlib.sha256(spec.initial if spec.read_only else b"").digest())
    return digest.hexdigest()


@functools.cache
def _makers() -> str:
    """Return a digest of the code that makes native code, of the verifier whose facts it uses, of LLVM and the CPU."""
    import grafting
    import jit
    import verifier

    digest = hashlib.sha256(f"{llvm.version()} {llvm.host()}".encode())
    roots = [Path(package.__file__ or "").parent for package in (grafting, jit, verifier)]
    for file in sorted([*roots[0].glob("*.py"), *roots[1].rglob("*.py"), *roots[2].glob("*.py")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()
