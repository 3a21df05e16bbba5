"""`bpf(2)` through ctypes: load a program, hear the verifier's verdict, run it once.

Only what an *oracle* needs: the same bytecode that our verifier judges goes to Linux's, and the same bytecode that our
engines run goes through Linux's JIT. Everything is unprivileged code of this process; the kernel may refuse the call
altogether (`available()` says so), and then callers skip, saying why.

Source: linux/include/uapi/linux/bpf.h (union bpf_attr), bpf(2). Offsets below are those of the structures there.
"""

from __future__ import annotations

import ctypes
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

_MAP_CREATE, _PROG_LOAD, _PROG_TEST_RUN = 0, 5, 10
_LOG_BYTES = 1 << 16
_LOG_STATS = 4  # verdict and statistics only: a full log turns a good program into ENOSPC
SLEEPABLE = 1 << 4


class ProgramType(IntEnum):
    """The program types that an unattached program can be judged as."""

    SOCKET_FILTER = 1
    XDP = 6
    SYSCALL = 31


class MapType(IntEnum):
    """The map types that have an equivalent here."""

    HASH = 1
    ARRAY = 2


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


def create_map(map_type: MapType, key_size: int, value_size: int, max_entries: int) -> int:
    """Create a map and return its file descriptor, which the caller closes. Raises BpfError."""
    attributes = bytearray(72)
    struct.pack_into("<IIIII", attributes, 0, map_type, key_size, value_size, max_entries, 0)
    descriptor = _bpf(_MAP_CREATE, attributes)
    if descriptor < 0:
        error = ctypes.get_errno()
        raise BpfError(error, f"BPF_MAP_CREATE: {os.strerror(error)}")
    return descriptor


def run_syscall_program(descriptor: int, context: bytearray) -> int:
    """Run a SYSCALL program once on `context` (changed in place) and return its r0, 32 bits. Raises BpfError."""
    buffer = (ctypes.c_char * len(context)).from_buffer(context)
    address = ctypes.addressof(buffer)
    attributes = bytearray(80)
    struct.pack_into("<IIIIQQIIIIQQIII", attributes, 0, descriptor, 0, 0, 0, 0, 0, 0, 0,
                     len(context), 0, address, 0, 0, 0, 0)  # fmt: skip
    if _bpf(_PROG_TEST_RUN, attributes) < 0:
        error = ctypes.get_errno()
        raise BpfError(error, f"BPF_PROG_TEST_RUN: {os.strerror(error)}")
    return int(struct.unpack_from("<I", attributes, 4)[0])
