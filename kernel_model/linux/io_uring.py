"""Real io_uring through three system calls and two mappings: enough to submit entries and to read completions.

io_uring_setup(2), io_uring_enter(2) and `linux/io_uring.h`; no liburing. One thread submits and reaps, and each is a
system call, so no memory barriers are needed: the kernel's own entry and exit order what both sides see.

    with Ring() as ring:
        ring.submit([Entry(NOP, user_data=1, flags=LINK), Entry(NOP, user_data=2)])
        ring.wait(2, seconds=1.0)                      # [(1, 0), (2, 0)]: (user_data, result), in order of completion

`unavailable()` says why there is none: an old kernel, `kernel.io_uring_disabled`, a container's seccomp filter.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

SETUP, ENTER = 425, 426  # numbers of the system calls, the same on all architectures
SUBMIT_ALL = 1 << 7  # IORING_SETUP_SUBMIT_ALL: an entry that is wrong does not end the submission
GETEVENTS, EXT_ARG = 1, 1 << 3  # flags of io_uring_enter
OFF_CQ_RING, OFF_SQES = 0x800_0000, 0x1000_0000

NOP, TIMEOUT, LINK_TIMEOUT, READ = 0, 11, 15, 22  # opcodes
NO_OPERATION = 255  # an opcode that there is not
DRAIN, LINK, HARDLINK, SKIP = 1 << 1, 1 << 2, 1 << 3, 1 << 6  # IOSQE_...
INJECT_RESULT = 1  # IORING_NOP_INJECT_RESULT, since Linux 6.10

PARAMS_BYTES = 120
SQ_OFFSETS, CQ_OFFSETS = 40, 80  # in io_uring_params
SQE = struct.Struct("<BBHiQQIIQHHiQQ")
CQE = struct.Struct("<QiI")
WORD = struct.Struct("<I")

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Entry:
    """A submission: `ns` of a timeout, `length` bytes of `fd` from `offset` on for a read, `result` of a NOP."""

    opcode: int
    user_data: int
    flags: int = 0
    fd: int = -1
    offset: int = 0
    length: int = 0
    ns: int = 0
    result: int = 0


@dataclass(slots=True)
class Ring:
    """An io_uring of up to `entries` submissions at a time. Raises OSError if there is none to be had."""

    entries: int = 256
    _fd: int = -1
    _memory: list[mmap.mmap] = field(default_factory=list)
    _kept: list[object] = field(default_factory=list)  # buffers and times that the kernel may still look at
    _sq: tuple[int, ...] = ()
    _cq: tuple[int, ...] = ()

    def __enter__(self) -> Self:
        params = ctypes.create_string_buffer(PARAMS_BYTES)
        struct.pack_into("<I", params, 8, SUBMIT_ALL)
        self._fd = _call(SETUP, self.entries, ctypes.addressof(params))
        self._sq = struct.unpack_from("<7I", params, SQ_OFFSETS)  # head tail mask entries flags dropped array
        self._cq = struct.unpack_from("<7I", params, CQ_OFFSETS)  # head tail mask entries overflow cqes flags
        sizes = (self._sq[6] + 4 * self.entries, self._cq[5] + 16 * 2 * self.entries, SQE.size * self.entries)
        offsets = (0, OFF_CQ_RING, OFF_SQES)
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        for size, offset in zip(sizes, offsets, strict=True):
            self._memory.append(mmap.mmap(self._fd, size, mmap.MAP_SHARED, protection, offset=offset))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)  # what is still under way is cancelled
        for memory in self._memory:
            memory.close()

    def submit(self, batch: Sequence[Entry]) -> None:
        """Submit entries (at most as many as the ring has) in one system call."""
        ring, sqes = self._memory[0], self._memory[2]
        tail = _word(ring, self._sq[1])
        mask = _word(ring, self._sq[2])
        for entry in batch:
            index = tail & mask
            sqes[index * SQE.size : (index + 1) * SQE.size] = self._encode(entry)
            WORD.pack_into(ring, self._sq[6] + 4 * index, index)
            tail = (tail + 1) & 0xFFFF_FFFF
        WORD.pack_into(ring, self._sq[1], tail)
        taken = _call(ENTER, self._fd, len(batch), 0, 0, 0, 0)
        if taken != len(batch):
            raise OSError(errno.EAGAIN, f"io_uring took {taken} of {len(batch)} entries")

    def _encode(self, entry: Entry) -> bytes:
        address, length, options = 0, entry.length, 0
        if entry.opcode in (TIMEOUT, LINK_TIMEOUT):
            timespec = ctypes.create_string_buffer(struct.pack("<qq", *divmod(entry.ns, 1_000_000_000)), 16)
            self._kept.append(timespec)
            address, length = ctypes.addressof(timespec), 1
        elif entry.opcode == READ:
            buffer = ctypes.create_string_buffer(max(1, entry.length))
            self._kept.append(buffer)
            address = ctypes.addressof(buffer)
        elif entry.opcode == NOP and entry.result:
            length, options = entry.result & 0xFFFF_FFFF, INJECT_RESULT
        return SQE.pack(
            entry.opcode,
            entry.flags,
            0,
            entry.fd,
            entry.offset,
            address,
            length,
            options,
            entry.user_data,
            0,
            0,
            0,
            0,
            0,
        )

    def wait(self, count: int, seconds: float) -> list[tuple[int, int]]:
        """Wait for `count` completions, but not longer than that; return all there are as (user_data, result).

        The kernel comes back before there are so many whenever a timeout of the ring is over, so it is asked again.
        """
        found: list[tuple[int, int]] = []
        end = time.monotonic() + seconds
        while len(found) < count and (left := end - time.monotonic()) > 0:
            self._wait_once(count - len(found), left)
            found += self._reap()
        return found

    def _wait_once(self, count: int, seconds: float) -> None:
        timespec = struct.pack("<qq", *divmod(round(seconds * 1e9), 1_000_000_000))
        span = ctypes.create_string_buffer(timespec, 16)
        argument = ctypes.create_string_buffer(struct.pack("<QIIQ", 0, 0, 0, ctypes.addressof(span)), 24)
        try:
            _call(ENTER, self._fd, 0, count, GETEVENTS | EXT_ARG, ctypes.addressof(argument), 24)
        except OSError as error:
            if error.errno != errno.ETIME:
                raise

    def _reap(self) -> list[tuple[int, int]]:
        ring = self._memory[1]
        head, tail, mask = _word(ring, self._cq[0]), _word(ring, self._cq[1]), _word(ring, self._cq[2])
        found = []
        while head != tail:
            user_data, result, _ = CQE.unpack_from(ring, self._cq[5] + CQE.size * (head & mask))
            found.append((user_data, result))
            head = (head + 1) & 0xFFFF_FFFF
        WORD.pack_into(ring, self._cq[0], head)
        return found


def unavailable() -> str | None:
    """Return why this machine has no io_uring that can be used, or None."""
    try:
        with Ring(8) as ring:
            ring.submit([Entry(NOP, 1, result=-errno.EIO)])
            results = ring.wait(1, seconds=1.0)
    except OSError as error:
        return f"io_uring: {error.strerror}"
    return None if results == [(1, -errno.EIO)] else "io_uring: NOPs take no results here (Linux before 6.10)"


def _call(number: int, *arguments: int) -> int:
    result = _libc.syscall(*(ctypes.c_long(value) for value in (number, *arguments)))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


def _word(memory: mmap.mmap, offset: int) -> int:
    value: int = WORD.unpack_from(memory, offset)[0]
    return value
