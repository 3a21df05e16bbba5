"""The bytes of a stack frame.

A frame is a dict from slot number (0 is r10 - 512, 63 is r10 - 8; never changed in place) to what the slot's 8 bytes
hold: a whole value, or `Pieces`, numbers of 1 to 7 bytes side by side. What is absent was never written. So spills keep
all that is known, partial overwrites keep what they leave, and a pointer of which one byte was overwritten is no
pointer any more (`Unusable.SEVERED`) and no number either, for its other bytes are an address.

Example: a frame after `*(u64 *)(r10 - 8) = r6; *(u8 *)(r10 - 5) = 0` with r6 a number holds in slot 63 the pieces
r6[0:3], 0, r6[4:8]; with r6 a pointer, four bytes severed on the right, three on the left, and a 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from grafting import limits
from grafting.isa import Alu
from verifier import scalar as scalars
from verifier.scalar import Scalar, of_width
from verifier.terms import Terms
from verifier.values import Number, Unusable, Value, literal, unknown

SLOT = 8
SIZE = limits.STACK_BYTES


class Piece(NamedTuple):
    """`size` bytes from byte `start` of a slot: the low bytes of a number (which has no others), or severed ones."""

    start: int
    size: int
    value: Number | Unusable


class Pieces(NamedTuple):
    """What is known of a slot's bytes, in order; bytes that no piece covers were never written."""

    parts: tuple[Piece, ...]


Content = Value | Pieces
Stack = dict[int, Content]


def low_bytes(terms: Terms, number: Number, size: int, skip: int = 0) -> Number:
    """Return the number that `size` bytes of a number make, from byte `skip` on."""
    if skip:
        amount = literal(8 * skip)
        moved = scalars.alu(Alu.RSH, True, number.scalar, amount.scalar)
        number = Number(moved, terms.apply(Alu.RSH, True, number[1:], amount[1:]), 0)
    if size == SLOT or number.scalar.umax < 1 << 8 * size:
        return number
    mask = literal((1 << 8 * size) - 1)
    kept = scalars.alu(Alu.AND, True, number.scalar, mask.scalar)
    if kept.is_constant:
        return literal(kept.constant_value)
    return Number(kept, terms.apply(Alu.AND, True, number[1:], mask[1:]), 0)


def pieces_of(terms: Terms, content: Content) -> tuple[Piece, ...]:
    """Return a slot's content as pieces: the one form that covers all others."""
    if content is None:
        return ()
    if isinstance(content, Pieces):
        return content.parts
    if isinstance(content, Number):
        return (Piece(0, SLOT, content),)
    return (Piece(0, SLOT, Unusable.CLASH if content is Unusable.CLASH else Unusable.SEVERED),)


def _cut(terms: Terms, part: Piece, low: int, high: int) -> Piece | None:
    """Return the bytes of a piece in low ..< high."""
    start, end = max(part.start, low), min(part.start + part.size, high)
    if start >= end:
        return None
    if (start, end) == (part.start, part.start + part.size):
        return part
    value = part.value
    if isinstance(value, Number):
        value = low_bytes(terms, value, end - start, start - part.start)
    return Piece(start, end - start, value)


def piece_at(terms: Terms, parts: tuple[Piece, ...], low: int, high: int) -> Piece | None:
    """Return the piece that bytes low ..< high are, which no piece's edge divides; None if they were never written."""
    return next((p for p in (_cut(terms, part, low, high) for part in parts) if p), None)


def simplest(parts: tuple[Piece, ...]) -> Content:
    """Return pieces in their simplest form."""
    if len(parts) == 1 and parts[0].size == SLOT:
        return parts[0].value
    return Pieces(parts) if parts else None


def _spans(offset: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield (slot, first byte, end byte) for each slot that `size` bytes at `offset` (below 0) touch."""
    at, end = offset + SIZE, offset + SIZE + size
    while at < end:
        slot = at // SLOT
        stop = min(end, (slot + 1) * SLOT)
        yield slot, at - slot * SLOT, stop - slot * SLOT
        at = stop


def within(offset: int, size: int) -> bool:
    """Return whether `size` bytes at `offset` from the frame's end lie in the frame."""
    return offset >= -SIZE and offset + size <= 0


def store(terms: Terms, stack: Stack, offset: int, size: int, value: Value) -> Stack:
    """Return the frame once the low `size` bytes of a value are at `offset`, which is known exactly."""
    changed = dict(stack)
    if size == SLOT and offset % SLOT == 0:
        changed[(offset + SIZE) // SLOT] = value
        return changed
    done = 0
    for slot, low, high in _spans(offset, size):
        if isinstance(value, Number):
            stored: Number | Unusable = low_bytes(terms, value, high - low, done)
        else:
            stored = Unusable.SEVERED
        before = pieces_of(terms, stack.get(slot))
        left = tuple(p for p in (_cut(terms, part, 0, low) for part in before) if p)
        right = tuple(p for p in (_cut(terms, part, high, SLOT) for part in before) if p)
        changed[slot] = simplest((*left, Piece(low, high - low, stored), *right))
        done += high - low
    return changed


def load(terms: Terms, stack: Stack, offset: int, size: int) -> Value:
    """Return what `size` bytes at `offset` hold, zero-extended; None if one of them was never written."""
    if size == SLOT and offset % SLOT == 0:
        content = stack.get((offset + SIZE) // SLOT)
        if not isinstance(content, Pieces):
            return content
    found: list[Piece] = []
    for slot, low, high in _spans(offset, size):
        parts = [p for p in (_cut(terms, part, low, high) for part in pieces_of(terms, stack.get(slot))) if p]
        if sum(part.size for part in parts) != high - low:
            return None
        found += parts
    return _assembled(terms, found, size)


def _assembled(terms: Terms, found: list[Piece], size: int) -> Value:
    """Return the number that adjacent pieces make."""
    word, done = 0, 0
    for part in found:
        if isinstance(part.value, Unusable):
            return part.value
        if len(found) == 1:
            return part.value
        word |= part.value.scalar.value << 8 * done
        done += part.size
    if all(isinstance(part.value, Number) and part.value.scalar.is_constant for part in found):
        return literal(word)
    return unknown(terms, of_width(size) if size in (1, 2, 4, 8) else scalars.UNKNOWN)


def offsets(scalar: Scalar, size: int) -> range | None:
    """Return the offsets, below 0, that an access of `size` bytes may have; None if it may leave the frame."""
    low, high = scalar.smin, scalar.smax
    if low < -SIZE or high + size > 0:
        return None
    step = scalar.mask & -scalar.mask or 1
    return range(low, high + 1, step)


def store_somewhere(terms: Terms, stack: Stack, places: range, size: int, value: Value) -> Stack:
    """Return the frame once a value has been stored at one of several offsets, it is not known which.

    Bytes that were written stay written; their value may be the old one or the new one.
    """
    changed = dict(stack)
    aligned = size == SLOT and places.start % SLOT == 0 and places.step % SLOT == 0
    for slot in sorted({slot for offset in places for slot, _, _ in _spans(offset, size)}):
        content = stack.get(slot)
        if content is None:
            continue
        if aligned and isinstance(content, Number) and isinstance(value, Number):
            changed[slot] = unknown(terms, scalars.join(content.scalar, value.scalar))
            continue
        parts = []
        for part in pieces_of(terms, content):
            blurred = part.value
            if isinstance(blurred, Number):
                blurred = unknown(terms, _any(part.size)) if isinstance(value, Number) else Unusable.SEVERED
            parts.append(Piece(part.start, part.size, blurred))
        changed[slot] = simplest(tuple(parts))
    return changed


def _any(size: int) -> Scalar:
    return of_width(size) if size in (1, 2, 4, 8) else scalars.unsigned(0, (1 << 8 * size) - 1)


def load_somewhere(terms: Terms, stack: Stack, places: range, size: int) -> Value:
    """Return what an access at one of several offsets may read; not a value if it is none at one of them."""
    joined: Scalar | None = None
    for offset in places:
        found = load(terms, stack, offset, size)
        if not isinstance(found, Number):
            return Unusable.SEVERED if found is not None and not isinstance(found, Unusable) else found
        joined = found.scalar if joined is None else scalars.join(joined, found.scalar)
    assert joined is not None
    return literal(joined.value) if joined.is_constant else Number(joined, terms.fresh(), 0)


def clobber(terms: Terms, stack: Stack, low: int, high: int) -> Stack:
    """Return the frame once all bytes in low ..< high (below 0, clipped) may hold any number."""
    changed = stack
    for slot, first, end in _spans(max(low, -SIZE), min(high, 0) - max(low, -SIZE)):
        changed = store(terms, changed, slot * SLOT - SIZE + first, end - first, unknown(terms, _any(end - first)))
    return changed


def severed(stack: Stack) -> Stack:
    """Return the frame once something may have been stored anywhere: written, but of no use."""
    return dict.fromkeys(stack, Unusable.SEVERED)


def first_unreadable(terms: Terms, stack: Stack, low: int, high: int) -> tuple[int, Value] | None:
    """Return the first byte in low ..< high that does not hold a number, and what it holds; None if all do."""
    for slot, first, end in _spans(low, high - low):
        content = stack.get(slot)
        if isinstance(content, Number):
            continue
        at = first
        for part in pieces_of(terms, content):
            piece = _cut(terms, part, first, end)
            if piece is None:
                continue
            if piece.start > at:
                break
            if isinstance(piece.value, Unusable):
                return slot * SLOT - SIZE + at, content if not isinstance(content, Pieces) else piece.value
            at = piece.start + piece.size
        if at < end:
            return slot * SLOT - SIZE + at, None
    return None
