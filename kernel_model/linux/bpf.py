"""`bpf(2)` through ctypes: load a program, hear the verifier's verdict, run it once.

Only what an *oracle* needs: the same bytecode that our verifier judges goes to Linux's, and the same bytecode that our
engines run goes through Linux's JIT. Everything is unprivileged code of this process; the kernel may refuse the call
altogether (`available()` says so), and then callers skip, saying why.

Source: linux/include/uapi/linux/bpf.h (union bpf_attr), bpf(2). Offsets below are those of the structures there.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

from grafting import isa
from grafting.isa import Instruction

_SYSCALL_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280}

_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _MAP_NEXT_KEY = 0, 1, 2, 3, 4
_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _PROG_TEST_RUN, _MAP_FREEZE = 5, 8, 9, 10, 22
_SK_MSG_VERDICT = 7  # attach type: on what is sent through the sockets of a sockmap
_LOG_BYTES = 1 << 16
_LOG_STATS = 4  # verdict and statistics only: a full log turns a good program into ENOSPC
LOG_REASONS = 1  # every instruction looked at, and why the program is refused
STRICT_ALIGNMENT = 1 << 0
SLEEPABLE = 1 << 4
READ_ONLY_FOR_PROGRAMS = 1 << 7


_NO_REASON = ("processed ", "verification time", "stack depth", "max_states", "peak_states", "mark_read", "cur state",
              "old state")  # fmt: skip


class ProgramType(IntEnum):
    """The program types that an unattached program can be judged as."""

    SOCKET_FILTER = 1
    XDP = 6
    SK_MSG = 16
    SYSCALL = 31


class MapType(IntEnum):
    """The map types that have an equivalent here, and the one that holds sockets (values: descriptors, u32)."""

    HASH = 1
    ARRAY = 2
    SOCKMAP = 15
    RINGBUF = 27


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Linux's verifier said: `error` is 0 or an errno, `log` its text (statistics when accepted)."""

    error: int
    log: str

    @property
    def accepted(self) -> bool:
        """Whether the program may be loaded."""
        return self.error == 0

    @property
    def steps(self) -> int | None:
        """Instructions that the verifier walked through, where its log says so ("processed N insns")."""
        words = self.log.split("processed ")
        return int(words[1].split()[0]) if len(words) > 1 else None

    @property
    def reason(self) -> str:
        """Why the program was refused, in the words of the log (asked for with LOG_REASONS): its last line of prose."""
        lines = [line for line in self.log.splitlines() if line and not line.startswith(_NO_REASON)]
        return lines[-1] if lines else ""


class BpfError(OSError):
    """A `bpf(2)` call other than a verdict failed."""


def _bpf(command: int, attributes: bytearray) -> int:
    libc = _libc()
    buffer = (ctypes.c_char * len(attributes)).from_buffer(attributes)
    number = _SYSCALL_NUMBERS[platform.machine()]
    result: int = libc.syscall(ctypes.c_long(number), ctypes.c_long(command), buffer, ctypes.c_ulong(len(attributes)))
    return result


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@functools.cache
def unavailable() -> str:
    """Return why `bpf(2)` cannot be used here, or the empty string if it can."""
    if platform.system() != "Linux" or platform.machine() not in _SYSCALL_NUMBERS:
        return f"no bpf(2) on {platform.system()} {platform.machine()}"
    code = [Instruction(0xB7, 0, 0, 0, 0), Instruction(isa.EXIT, 0, 0, 0, 0)]
    verdict = judge(code, ProgramType.SOCKET_FILTER)
    return "" if verdict.accepted else f"bpf(2) refuses a trivial program: {os.strerror(verdict.error)}"


def judge(
    code: Sequence[Instruction], program_type: ProgramType, *, flags: int = 0, log_level: int = _LOG_STATS
) -> Verdict:
    """Ask Linux's verifier about `code` and forget the program again."""
    try:
        with loaded(code, program_type, flags=flags, log_level=log_level) as (_descriptor, log):
            return Verdict(0, log)
    except Refused as refusal:
        return refusal.verdict


class Refused(Exception):
    """Linux did not load the program."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(os.strerror(verdict.error))
        self.verdict = verdict


@contextmanager
def loaded(
    code: Sequence[Instruction], program_type: ProgramType, *, flags: int = 0, log_level: int = _LOG_STATS
) -> Iterator[tuple[int, str]]:
    """Load a program for the length of a `with`; yields (file descriptor, verifier's log). Raises Refused."""
    wire = ctypes.create_string_buffer(isa.encode(code), 8 * len(code))
    license_ = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(_LOG_BYTES)
    attributes = bytearray(152)
    struct.pack_into("<IIQQIIQII", attributes, 0, program_type, len(code), ctypes.addressof(wire),
                     ctypes.addressof(license_), log_level, _LOG_BYTES, ctypes.addressof(log), 0, flags)  # fmt: skip
    descriptor = _bpf(_PROG_LOAD, attributes)
    text = log.value.decode(errors="replace")
    if descriptor < 0:
        raise Refused(Verdict(ctypes.get_errno(), text))
    try:
        yield descriptor, text
    finally:
        os.close(descriptor)


def create_map(map_type: MapType, key_size: int, value_size: int, max_entries: int, *, flags: int = 0) -> int:
    """Create a map and return its file descriptor, which the caller closes. Raises BpfError."""
    attributes = bytearray(72)
    struct.pack_into("<IIIII", attributes, 0, map_type, key_size, value_size, max_entries, flags)
    descriptor = _bpf(_MAP_CREATE, attributes)
    if descriptor < 0:
        error = ctypes.get_errno()
        raise BpfError(error, f"BPF_MAP_CREATE: {os.strerror(error)}")
    return descriptor


def update_map(descriptor: int, key: bytes, value: bytes) -> None:
    """Store a value in a map. Raises BpfError."""
    keys, values = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
    attributes = bytearray(32)
    struct.pack_into("<IIQQQ", attributes, 0, descriptor, 0, ctypes.addressof(keys), ctypes.addressof(values), 0)
    _done(_MAP_UPDATE, attributes, "BPF_MAP_UPDATE_ELEM")


def lookup_map(descriptor: int, key: bytes, value_size: int) -> bytes | None:
    """Return the value under a key, `value_size` bytes, or None if there is none. Raises BpfError."""
    return _found(_MAP_LOOKUP, descriptor, key, value_size, "BPF_MAP_LOOKUP_ELEM")


def keys_of_map(descriptor: int, key_size: int) -> Iterator[bytes]:
    """Yield all keys of a map that nobody changes meanwhile. Raises BpfError."""
    key = _found(_MAP_NEXT_KEY, descriptor, None, key_size, "BPF_MAP_GET_NEXT_KEY")
    while key is not None:
        yield key
        key = _found(_MAP_NEXT_KEY, descriptor, key, key_size, "BPF_MAP_GET_NEXT_KEY")


def delete_from_map(descriptor: int, key: bytes) -> None:
    """Remove a key. Raises BpfError."""
    keys = ctypes.create_string_buffer(key, len(key))
    attributes = bytearray(32)
    struct.pack_into("<IIQ", attributes, 0, descriptor, 0, ctypes.addressof(keys))
    _done(_MAP_DELETE, attributes, "BPF_MAP_DELETE_ELEM")


def _found(command: int, descriptor: int, key: bytes | None, size: int, name: str) -> bytes | None:
    keys = ctypes.create_string_buffer(key, len(key)) if key is not None else None
    result = ctypes.create_string_buffer(size)
    attributes = bytearray(32)
    at = ctypes.addressof(keys) if keys is not None else 0
    struct.pack_into("<IIQQQ", attributes, 0, descriptor, 0, at, ctypes.addressof(result), 0)
    if _bpf(command, attributes) == 0:
        return result.raw
    error = ctypes.get_errno()
    if error == errno.ENOENT:
        return None
    raise BpfError(error, f"{name}: {os.strerror(error)}")


def freeze_map(descriptor: int) -> None:
    """Bar this process, too, from writing to a map: the verifier then takes its content as known. Raises BpfError."""
    attributes = bytearray(4)
    struct.pack_into("<I", attributes, 0, descriptor)
    _done(_MAP_FREEZE, attributes, "BPF_MAP_FREEZE")


@contextmanager
def attached_to_sockets(program: int, sockmap: int) -> Iterator[None]:
    """Let a SK_MSG program judge what is sent by the sockets of a map, for the length of a `with`. Raises BpfError."""
    attributes = bytearray(20)
    struct.pack_into("<III", attributes, 0, sockmap, program, _SK_MSG_VERDICT)
    _done(_PROG_ATTACH, attributes, "BPF_PROG_ATTACH")
    try:
        yield
    finally:
        _done(_PROG_DETACH, bytearray(attributes), "BPF_PROG_DETACH")


def _done(command: int, attributes: bytearray, name: str) -> None:
    if _bpf(command, attributes) < 0:
        error = ctypes.get_errno()
        raise BpfError(error, f"{name}: {os.strerror(error)}")


def run_syscall_program(descriptor: int, context: bytearray) -> int:
    """Run a SYSCALL program once on `context` (changed in place) and return its r0, 32 bits. Raises BpfError."""
    buffer = (ctypes.c_char * len(context)).from_buffer(context)
    address = ctypes.addressof(buffer)
    attributes = bytearray(80)
    struct.pack_into("<IIIIQQIIIIQQIII", attributes, 0, descriptor, 0, 0, 0, 0, 0, 0, 0,
                     len(context), 0, address, 0, 0, 0, 0)  # fmt: skip
    _done(_PROG_TEST_RUN, attributes, "BPF_PROG_TEST_RUN")
    return int(struct.unpack_from("<I", attributes, 4)[0])


def run_filter(descriptor: int, packet: bytes, repeat: int) -> tuple[int, int]:
    """Run a SOCKET_FILTER `repeat` times on a packet of at least 14 bytes; returns r0 of the last run, 32 bits, and the
    mean time of a run as the kernel took it, in ns. Raises BpfError."""
    data = ctypes.create_string_buffer(packet, len(packet))
    attributes = bytearray(80)
    struct.pack_into("<IIIIQQII", attributes, 0, descriptor, 0, len(packet), 0, ctypes.addressof(data), 0, repeat, 0)
    _done(_PROG_TEST_RUN, attributes, "BPF_PROG_TEST_RUN")
    return int(struct.unpack_from("<I", attributes, 4)[0]), int(struct.unpack_from("<I", attributes, 36)[0])
