"""The kinds of memory that a pointer can point into.

A pointer is a region and an offset from its base. There is no pointer kind "data_end": the end of the body is the
pointer into the body whose offset is named `terms.LENGTH`, so that checks against it, subtraction and accesses through
it are ordinary arithmetic on offsets, and an access at or past it is out of bounds like any other.

| region    | base, size                                       | access                          |
|-----------|--------------------------------------------------|---------------------------------|
| CONTEXT   | r1 at entry; the hook's context                  | whole fields; writable if hook says |
| BODY      | context field `data`; LENGTH bytes               | read                            |
| MEMORY    | r1 at entry of `raw_memory`; all its bytes       | read, write if the hook says    |
| STACK     | *end* of a frame (r10); offsets -512 to -1       | read what was written, write    |
| VALUE     | a map value; the map's value size                | read, write unless read-only    |

A map value that a lookup has just returned may be null: `origin` then is the symbol of that lookup's result, and a
comparison of any copy with 0 settles all copies with the same origin. A settled pointer's origin is 0.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What a region is."""

    CONTEXT = "the context"
    BODY = "the message body"
    MEMORY = "the memory"
    STACK = "the stack"
    VALUE = "a map value"


class Region(NamedTuple):
    """One region. `frame`: of STACK, 0 being the handler's own. `maps`: of VALUE, the maps it may belong to, ascending.

    `origin`: of a VALUE that may be null, the symbol of the lookup; else 0.
    """

    kind: Kind
    frame: int = 0
    maps: tuple[int, ...] = ()
    origin: int = 0

    @property
    def nullable(self) -> bool:
        """Whether the pointer may be null."""
        return self.origin != 0


CONTEXT = Region(Kind.CONTEXT)
BODY = Region(Kind.BODY)
MEMORY = Region(Kind.MEMORY)

FARTHEST = 1 << 32
"""Offsets from minus this up to this order, as signed numbers, as their addresses do: no region is nearer than this to
either end of the address space, and the checked interpreter gives every region 2^32 addresses of its own."""


def stack(frame: int) -> Region:
    """Return the frame of call depth `frame`."""
    return Region(Kind.STACK, frame=frame)


def value(maps: tuple[int, ...], origin: int = 0) -> Region:
    """Return a value of one of these maps, possibly null if `origin` is given."""
    return Region(Kind.VALUE, maps=maps, origin=origin)


def same_base(a: Region, b: Region) -> bool:
    """Return whether two pointers into these regions have one base, so that their offsets compare as addresses do.

    Two values of one map are different places.
    """
    return a == b and a.kind is not Kind.VALUE
