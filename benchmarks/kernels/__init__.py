"""The kernels of `benchmarks.engines`: small programs whose answers are known, each in two or three languages.

`NAME.graft` is the kernel in the language of grafts, a handler of `reply` that leaves its answer in state variables or
a map; `NAME.s` is bytecode over raw memory, the answer in r0. `NAME.c` is the same work in C, on the same bytes and
with the same arguments (`kernel.h`). Here stand the inputs, and the answers as Python's library or a few plain lines
give them.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import random
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grafting
import verifier
from grafting import Program, hooks

DIRECTORY = Path(__file__).parent
WORD = (1 << 64) - 1

Answer = Mapping[str, Any]
"""What a run leaves: "r0", or the state variables and maps of a graft by name."""


@dataclass(frozen=True)
class Input:
    """What a kernel is given: the memory of a raw hook or the body of a message, and the message's tag."""

    body: bytes
    tag: int = 0


@dataclass(frozen=True)
class Kernel:
    """A kernel. `make` draws an input, `answer` says what one run on it must leave."""

    name: str
    what: str
    make: Callable[[random.Random], Input]
    answer: Callable[[Input], Answer]

    @property
    def raw(self) -> bool:
        """Whether it is bytecode over raw memory, not a graft."""
        return not (DIRECTORY / f"{self.name}.graft").exists()

    @property
    def c_source(self) -> Path:
        """The same in C."""
        return DIRECTORY / f"{self.name}.c"

    @functools.cached_property
    def program(self) -> Program:
        """The program, compiled or assembled."""
        if not self.raw:
            source = DIRECTORY / f"{self.name}.graft"
            return grafting.compile_graft(source.read_text(), filename=source.name)
        size = len(self.make(random.Random(0)).body)
        return Program.from_assembly((DIRECTORY / f"{self.name}.s").read_text(), hooks.raw_memory(size))

    @functools.cached_property
    def verified(self) -> verifier.Verified:
        """The program with its proof."""
        return verifier.verify(self.program)


def _words(source: random.Random, count: int, width: int = 8) -> bytes:
    return b"".join(source.getrandbits(8 * width).to_bytes(width, "little") for _ in range(count))


def _word(data: bytes, number: int, width: int = 8) -> int:
    return int.from_bytes(data[width * number : width * (number + 1)], "little")


# --- raw memory ------------------------------------------------------------------------------------------------------


def _fnv(given: Input) -> Answer:
    found = 0xCBF2_9CE4_8422_2325
    for byte in given.body:
        found = (found ^ byte) * 0x100_0000_01B3 & WORD
    return {"r0": found}


def _mix(given: Input) -> Answer:
    x = _word(given.body, 0)
    for _ in range(64):
        x = x * 31 + 7 & WORD
        x ^= x >> 13
    return {"r0": x}


def _xorshift(given: Input) -> Answer:
    x, total = _word(given.body, 0), 0
    for _ in range(64):
        x ^= x << 13 & WORD
        x ^= x >> 7
        x ^= x << 17 & WORD
        total += x
    return {"r0": total & WORD}


SORTED, KEYS, SEARCHES = 64, 1024, 16


def _search_input(source: random.Random) -> Input:
    words = sorted(source.getrandbits(64) for _ in range(SORTED))
    keys = [source.choice(words) if n % 2 else source.getrandbits(64) for n in range(KEYS)]
    numbers = [*words, *keys, source.randrange(KEYS)]
    return Input(b"".join(number.to_bytes(8, "little") for number in numbers))


def _search(given: Input) -> Answer:
    words = [_word(given.body, n) for n in range(SORTED)]
    start = _word(given.body, SORTED + KEYS)
    keys = (_word(given.body, SORTED + (start + n) % KEYS) for n in range(SEARCHES))
    return {"r0": sum(bisect_left(words, key) for key in keys)}


def _frame(source: random.Random) -> Input:
    frame = bytearray(source.randbytes(64))
    frame[12:14], frame[14], frame[23], frame[36:38] = b"\x08\x00", 0x45, 17, b"\x00\x35"
    wrong = source.choice((None, None, 12, 14, 23, 36))
    if wrong is not None:
        frame[wrong] ^= 1
    return Input(bytes(frame))


def _filter(given: Input) -> Answer:
    frame = given.body
    wanted = frame[12:14] == b"\x08\x00" and frame[14] & 15 == 5 and frame[23] == 17 and frame[36:38] == b"\x00\x35"
    return {"r0": int(wanted)}


# --- grafts ----------------------------------------------------------------------------------------------------------

FANOUT = 31


def _node_input(source: random.Random) -> Input:
    count = source.randrange(FANOUT - 8, FANOUT + 1)
    keys = sorted(source.getrandbits(32) for _ in range(count)) + [0] * (FANOUT - count)
    numbers = [*keys, *(source.getrandbits(48) for _ in range(FANOUT))]
    head = (0).to_bytes(4, "little") + count.to_bytes(4, "little")
    return Input(head + b"".join(number.to_bytes(8, "little") for number in numbers), source.getrandbits(32))


def _node(given: Input) -> Answer:
    count = _word(given.body, 1, 4)
    below = [i for i in range(1, count) if _word(given.body, 1 + i) <= given.tag]
    return {"next": _word(given.body, 1 + FANOUT + max(below, default=0))}


def _fields_input(source: random.Random) -> Input:
    fields = bytearray()
    while len(fields) < 1000:
        match source.randrange(6):
            case 0:
                fields += bytes((1, 1)) + source.randbytes(1)
            case 1:
                fields += bytes((2, 2)) + source.randbytes(2)
            case 2:
                fields += bytes((3, 4)) + source.randbytes(4)
            case 3 | 4:
                length = source.randrange(1, 12)
                fields += bytes((4, length, *(source.choice(b"AZabz019 ") for _ in range(length))))
            case _:
                length = source.randrange(6)
                fields += bytes((source.randrange(5, 256), length)) + source.randbytes(length)
    return Input(bytes(fields[:1000]).ljust(1024, b"\0"))


def _fields(given: Input) -> Answer:
    found = {"total": 0, "texts": 0, "letters": 0, "skipped": 0}
    place = 0
    while place <= len(given.body) - 6:
        kind, length = given.body[place : place + 2]
        value = given.body[place + 2 : place + 2 + length]
        if kind == 0 or len(value) < length or (kind in (1, 2, 3) and length != (1, 2, 4)[kind - 1]):
            break
        if kind in (1, 2, 3):
            found["total"] += int.from_bytes(value, "big")
        elif kind == 4:
            found["texts"] += 1
            found["letters"] += sum(letter in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ" for letter in value)
        else:
            found["skipped"] += 1
        place += 2 + length
    return found


def _md5(given: Input) -> Answer:
    digest = hashlib.md5(given.body, usedforsecurity=False).digest()
    return {"digest": [_word(digest, n, 4) for n in range(4)]}


COUNTED = 128


def _count_input(source: random.Random) -> Input:
    known = [source.getrandbits(32) for _ in range(48)]
    words = b"".join(source.choice(known).to_bytes(4, "little") for _ in range(COUNTED))
    return Input(words)


def _count(given: Input) -> Answer:
    return {"counts": dict(Counter(_word(given.body, n, 4) for n in range(COUNTED)))}


CELLS, LINKS = 512, 256


def _chain(source: random.Random) -> Input:
    order = source.sample(range(CELLS), CELLS)
    cells = [b""] * CELLS
    for here, following in itertools.pairwise([*order, order[0]]):
        cells[here] = following.to_bytes(4, "little") + source.randbytes(4)
    return Input(b"".join(cells), order[0])


def _chase(given: Input) -> Answer:
    place, total = given.tag % CELLS, 0
    for _ in range(LINKS):
        total += _word(given.body, 2 * place + 1, 4)
        place = _word(given.body, 2 * place, 4) % CELLS
    return {"total": total}


KERNELS = (
    Kernel("filter", "12 instructions of a packet filter", _frame, _filter),
    Kernel("node", "search in a B-tree node of 31 keys", _node_input, _node),
    Kernel("sum", "sum of 1 KiB", lambda source: Input(source.randbytes(1024)), lambda given: {"r0": sum(given.body)}),
    Kernel("mix", "64 rounds of multiply, add, shift, xor", lambda source: Input(_words(source, 1)), _mix),
    Kernel("xorshift", "64 numbers of a generator", lambda source: Input(_words(source, 1)), _xorshift),
    Kernel("search", "16 binary searches in 64 words, random keys", _search_input, _search),
    Kernel("parser", "fields of type, length and value in 1 KiB", _fields_input, _fields),
    Kernel("fnv", "FNV-1a over 1 KiB", lambda source: Input(source.randbytes(1024)), _fnv),
    Kernel("chase", "256 links of a list", _chain, _chase),
    Kernel("count", "128 words counted in a hash map", _count_input, _count),
    Kernel("crc32", "CRC-32 of 1 KiB by table", lambda source: Input(source.randbytes(1024)),
           lambda given: {"crc": zlib.crc32(given.body)}),
    Kernel("md5", "MD5 of 4 KiB", lambda source: Input(source.randbytes(4096)), _md5),
)  # fmt: skip

NOTHING = Kernel("nothing", "an empty program", lambda source: Input(_words(source, 1)), lambda given: {"r0": 0})
