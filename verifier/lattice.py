"""The order of states: which one says less, what two have in common, how a growing one is made to stop.

`includes(a, b)`: every machine state that b describes, a describes, *and* every relation between places that a's names
state holds in b. The second half is what a comparison of values alone would forget: if a holds one symbol in two
places, a comparison of one place narrows both. So b's names must be an image of a's: one symbol of b, at one distance,
for each symbol of a. A symbol that a later instruction may compute again (from operands that are still there, or by
loading a context field again) has to be the same one; so has every operand of a symbol that a relation (`reach`, a
fact, a link) is about, though it stand in no place: computed again from what has moved, it would be another word of
that name.

`Join` makes the least state it can around two. Places in which both sides differ by the same pair of symbols at the
same distance still agree with each other, so they get one new symbol: after `r6 += 1; r7 += 1` joined with the state
before, r7 - r6 is still known. As a widening it moves growing bounds to the next threshold, or gives them up, so
that a chain of joins ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from verifier import pointers, stack
from verifier import scalar as scalars
from verifier.pointers import Kind, Region
from verifier.scalar import Scalar
from verifier.stack import Content, Piece, Pieces, Stack, pieces_of
from verifier.state import REACHES, Frame, State
from verifier.terms import ZERO, Terms, wrap
from verifier.values import Handle, Number, Pointer, Unusable, Value

# --- inclusion -------------------------------------------------------------------------------------------------------


class _Images:
    """Which symbol of b stands where a symbol of a stands, and how far from it."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.of: dict[int, tuple[int, int]] = {}

    def agree(self, a: Number | Pointer, b: Number | Pointer) -> bool:
        if a.symbol == ZERO:
            return True  # a constant: its scalar says all
        distance = b.delta - a.delta
        image = (b.symbol, wrap(distance) if distance else 0)
        return self.of.setdefault(a.symbol, image) == image

    def origins_agree(self, a: Region, b: Region) -> bool:
        if not a.nullable:
            return not b.nullable
        if not b.nullable:
            return False
        return self.of.setdefault(a.origin, (b.origin, 0)) == (b.origin, 0)

    def moved(self) -> set[int]:
        """Return the symbols of a that b calls otherwise."""
        return {symbol for symbol, image in self.of.items() if image != (symbol, 0)}


def includes(terms: Terms, a: State, b: State) -> bool:
    """Return whether all of b is in a."""
    if a == b:
        return True
    if (
        not a.facts <= b.facts
        or not set(a.links) <= set(b.links)
        or len(a.frames) != len(b.frames)
        or not scalars.includes(a.length, b.length)
    ):
        return False
    images = _Images(terms)
    if not _all_include(images, a.registers, b.registers) or not _all_include(images, a.ghosts, b.ghosts):
        return False
    for f, g in zip(a.frames, b.frames, strict=True):
        if len(f.stack) > len(g.stack) or not _all_include(images, f.saved, g.saved):
            return False
        for slot, content in f.stack.items():
            if not _content_includes(images, content, g.stack.get(slot)):
                return False
    return _names_hold(images, a, b)


def _all_include(images: _Images, a: Sequence[Value], b: Sequence[Value]) -> bool:
    return all(x is None or _value_includes(images, x, y) for x, y in zip(a, b, strict=True))


def _names_hold(images: _Images, a: State, b: State) -> bool:
    moved = images.moved()
    terms = images.terms
    if moved:
        if any(terms.recomputable(symbol) for symbol in moved):
            return False
        if any(not moved.isdisjoint(terms.operands(symbol)) for symbol in images.of):
            return False
        related = {symbol for symbol, _bytes in a.reach} - images.of.keys()
        related |= {side[0] for relation in (*a.facts, *a.links) for side in (relation.a, relation.b)}
        if any(symbol in moved or not moved.isdisjoint(terms.operands(symbol)) for symbol in related):
            return False
    reach = dict(b.reach)
    for symbol, proven in a.reach:
        image, distance = images.of.get(symbol, (symbol, 0))
        if reach.get(image, proven + distance - 1) < proven + distance:
            return False
    return True


def _value_includes(images: _Images, a: Value, b: Value) -> bool:
    if a is None:
        return True
    if isinstance(a, Number):
        return isinstance(b, Number) and scalars.includes(a.scalar, b.scalar) and images.agree(a, b)
    if isinstance(a, Pointer):
        return (
            isinstance(b, Pointer)
            and a.region.kind is b.region.kind
            and a.region.frame == b.region.frame
            and set(a.region.maps) >= set(b.region.maps)
            and images.origins_agree(a.region, b.region)
            and scalars.includes(a.scalar, b.scalar)
            and images.agree(a, b)
        )
    if isinstance(a, Handle):
        return isinstance(b, Handle) and set(a.maps) >= set(b.maps)
    return b is not None


def _content_includes(images: _Images, a: Content, b: Content) -> bool:
    if not isinstance(a, Pieces):
        return not isinstance(b, Pieces) and _value_includes(images, a, b)
    if not isinstance(b, Pieces) or len(a.parts) != len(b.parts):
        return False
    return all(
        p.start == q.start and p.size == q.size and _value_includes(images, p.value, q.value)
        for p, q in zip(a.parts, b.parts, strict=True)
    )


# --- join and widening -----------------------------------------------------------------------------------------------


class Join:
    """One join of two states. `names` keeps the symbols made up: (symbol of a, of b, distance) -> (new one, base).

    `thresholds` make it a widening of a by b: growing bounds move to the next of them, past all of them to no bound.
    """

    def __init__(self, terms: Terms, thresholds: Sequence[int] | None = None) -> None:
        self._terms = terms
        self._thresholds = thresholds
        self.names: dict[tuple[int, int, int], tuple[int, int]] = {}

    def states(self, a: State, b: State) -> State:
        """Return a state around both, which must be of one function activation."""
        registers = tuple(map(self._values, a.registers, b.registers))
        frames = tuple(
            f if f is g else Frame(self._stacks(f.stack, g.stack), tuple(map(self._values, f.saved, g.saved)))
            for f, g in zip(a.frames, b.frames, strict=True)
        )
        ghosts = tuple(
            Number(self._scalars(x.scalar, y.scalar), x.symbol, x.delta)
            for x, y in zip(a.ghosts, b.ghosts, strict=True)
        )
        length = self._scalars(a.length, b.length)
        links = a.links if a.links == b.links else tuple(link for link in a.links if link in b.links)
        return State(registers, frames, length, self._reach(a, b), ghosts, a.facts & b.facts, links)

    def _scalars(self, a: Scalar, b: Scalar) -> Scalar:
        if self._thresholds is None:
            return scalars.join(a, b)
        if scalars.includes(a, b):
            return a
        return _given_up(a, scalars.widen(a, b, self._thresholds), self._thresholds)

    def _name(self, a: Number | Pointer, b: Number | Pointer) -> tuple[int, int]:
        if (a.symbol, a.delta) == (b.symbol, b.delta):
            return a.symbol, a.delta
        key = (a.symbol, b.symbol, wrap(b.delta - a.delta))
        if key not in self.names:
            self.names[key] = (self._terms.fresh(), a.delta)
        symbol, base = self.names[key]
        return symbol, wrap(a.delta - base)

    def _values(self, a: Value, b: Value) -> Value:
        if a is b or a == b:
            return a
        if a is None or b is None:
            return None
        if isinstance(a, Number) and isinstance(b, Number):
            return Number(self._scalars(a.scalar, b.scalar), *self._name(a, b))
        if isinstance(a, Pointer) and isinstance(b, Pointer):
            region = self._regions(a.region, b.region)
            if region is None:
                return Unusable.CLASH
            return Pointer(region, self._scalars(a.scalar, b.scalar), *self._name(a, b))
        if isinstance(a, Handle) and isinstance(b, Handle):
            return Handle(tuple(sorted({*a.maps, *b.maps})))
        if isinstance(a, Pointer) and _is_null(b):
            return self._or_null(a)
        if isinstance(b, Pointer) and _is_null(a):
            return self._or_null(b)
        return Unusable.SEVERED if Unusable.SEVERED in (a, b) else Unusable.CLASH

    def _regions(self, a: Region, b: Region) -> Region | None:
        if a == b:
            return a
        if a.kind is not Kind.VALUE or b.kind is not Kind.VALUE:
            return None
        maps = tuple(sorted({*a.maps, *b.maps}))
        origin = a.origin if a.origin == b.origin else self._terms.fresh()
        return pointers.value(maps, origin)

    def _or_null(self, a: Pointer) -> Value:
        """Return an address or null. Only the start of a value can be either: no arithmetic is done on it before."""
        if a.region.kind is not Kind.VALUE or not a.scalar.is_constant or a.scalar.value != 0:
            return Unusable.CLASH
        return a._replace(region=pointers.value(a.region.maps, self._terms.fresh()))

    def _stacks(self, a: Stack, b: Stack) -> Stack:
        if a is b:
            return a
        joined = {slot: self._contents(content, b[slot]) for slot, content in a.items() if slot in b}
        return {slot: content for slot, content in joined.items() if content is not None}

    def _contents(self, a: Content, b: Content) -> Content:
        if a is b or a == b:
            return a
        if not isinstance(a, Pieces) and not isinstance(b, Pieces):
            return self._values(a, b)
        return self._pieces(pieces_of(self._terms, a), pieces_of(self._terms, b))

    def _pieces(self, a: tuple[Piece, ...], b: tuple[Piece, ...]) -> Content:
        ends = sorted({edge for part in (*a, *b) for edge in (part.start, part.start + part.size)})
        parts = []
        for low, high in pairwise(ends):
            x, y = (stack.piece_at(self._terms, side, low, high) for side in (a, b))
            if x is not None and y is not None:
                value = self._values(x.value, y.value)
                assert isinstance(value, Number | Unusable)
                parts.append(Piece(low, high - low, value))
        return stack.simplest(tuple(parts))

    def _reach(self, a: State, b: State) -> tuple[tuple[int, int], ...]:
        """Return how far the body reaches from common offsets; a widening keeps those alone that do not shrink."""
        if not a.reach or not b.reach:
            return ()
        if self._thresholds is not None:
            return tuple(item for item in a.reach if item in b.reach)
        first, second = dict(a.reach), dict(b.reach)
        common = {symbol: min(first[symbol], second[symbol]) for symbol in first if symbol in second}
        for (left, right, distance), (symbol, base) in self.names.items():
            if left in first and right in second:
                common[symbol] = min(first[left] - base, second[right] - wrap(base + distance))
        return tuple(common.items())[-REACHES:]


def joined(terms: Terms, states: Sequence[State], thresholds: Sequence[int] | None = None) -> State:
    """Return a state around all of these, one after the other; with `thresholds`, the widening of the first by them."""
    found = states[0]
    for state in states[1:]:
        found = Join(terms, thresholds).states(found, state)  # a new one each time: names are of one pair of states
    return found


_BOUNDS = ("umin", "umax", "smin", "smax", "u32min", "u32max", "s32min", "s32max")


def _given_up(old: Scalar, widened: Scalar, thresholds: Sequence[int]) -> Scalar:
    """Return a widened scalar with every bound that grew past the thresholds given up."""
    gone = {
        name: getattr(scalars.UNKNOWN, name)
        for name in _BOUNDS
        if getattr(old, name) != getattr(widened, name) not in thresholds
    }
    return replace(widened, **gone) if gone else widened


def _is_null(value: Value) -> bool:
    return isinstance(value, Number) and value.scalar.is_constant and value.scalar.value == 0
