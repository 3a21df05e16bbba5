"""What is known at one point of one path: registers, stack frames, the body's length.

States are immutable: a step makes a new one that shares what it did not change. `refined` is the one way in which
knowledge of a number grows after it was made: a comparison narrows a *symbol*, and every place whose number has that
symbol (registers, spills, pointers' offsets, the body's length) is narrowed with it.

`reach` and `facts` relate symbols:

- `reach[s] == n` says: s + n <= LENGTH, the body goes on for at least n bytes from offset s. It is what a comparison
  with `data_end` proves when the offset checked is not a constant.
- `links` are linear: of two counters of one loop that move in step, one tells of the other. A compiler that made a
  byte offset out of an index compares the one and uses the other.
- `facts`, inside a loop being summarised, are the comparisons that kept the current iteration in the loop, and by how
  much numbers grew that were added to others.

`ghosts` are, inside a loop being summarised, the numbers that the loop changes as they were when the current iteration
began (see `loops`). No instruction reads them; they are narrowed like any other place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from grafting.isa import REGISTERS, Alu
from verifier import pointers
from verifier import scalar as scalars
from verifier.comparisons import Comparison
from verifier.scalar import Scalar, constant
from verifier.stack import Content, Piece, Pieces, Stack
from verifier.terms import LENGTH, ZERO, wrap
from verifier.values import Number, Pointer, Unusable, Value, literal

_WORD = (1 << 64) - 1
LINKS = 8  # kept; the oldest are forgotten first
REACHES = 16  # how many offsets' reaches are kept; the oldest are forgotten first


class Frame(NamedTuple):
    """One call: its stack, and what the caller gets back (r6 to r9) when it returns."""

    stack: Stack
    saved: tuple[Value, ...]


class Fact(NamedTuple):
    """`a comparison b` held, each side being (symbol, delta)."""

    comparison: Comparison
    is64: bool
    a: tuple[int, int]
    b: tuple[int, int]


class Rise(NamedTuple):
    """`a - b >= least`, both sides being words (symbol, delta) read as unsigned integers: nothing wraps."""

    least: int
    a: tuple[int, int]
    b: tuple[int, int]


Relation = Fact | Rise


class Link(NamedTuple):
    """`b - b0 == factor * (a - a0)`, a and b being words (symbol, delta) read as unsigned integers."""

    a: tuple[int, int]
    a0: int
    b: tuple[int, int]
    b0: int
    factor: int

    def told(self, learnt: _Learnt) -> _Learnt | None:
        """Return what is known of one side once something is learnt of the other. Raises Impossible."""
        if learnt.symbol == self.a[0]:
            ends = [self.b0 + self.factor * (end - self.a0) for end in learnt.ends(self.a[1])]
            return _Learnt(*self.b, _between(min(ends), max(ends)))
        if learnt.symbol == self.b[0]:
            ends = [end - self.b0 for end in learnt.ends(self.b[1])]
            low, high = sorted(ends) if self.factor > 0 else sorted(-end for end in ends)
            size = abs(self.factor)
            return _Learnt(*self.a, _between(self.a0 - (-low // size), self.a0 + high // size))
        return None


def _between(low: int, high: int) -> Scalar:
    if max(low, 0) > min(high, _WORD):
        raise Impossible
    return scalars.unsigned(max(low, 0), min(high, _WORD))


class State(NamedTuple):
    """One point of one path; see the module. `frames[-1]` is the running function's."""

    registers: tuple[Value, ...]
    frames: tuple[Frame, ...]
    length: Scalar
    reach: tuple[tuple[int, int], ...] = ()
    ghosts: tuple[Number, ...] = ()
    facts: frozenset[Relation] = frozenset()
    links: tuple[Link, ...] = ()

    @property
    def depth(self) -> int:
        """The running function's call depth, 0 for the handler's own code."""
        return len(self.frames) - 1

    def with_register(self, number: int, value: Value) -> State:
        """Return the state with one register changed."""
        before = self.registers
        return self._replace(registers=(*before[:number], value, *before[number + 1 :]))

    def with_stack(self, frame: int, stack: Stack) -> State:
        """Return the state with one frame's stack changed."""
        changed = self.frames[frame]._replace(stack=stack)
        return self._replace(frames=(*self.frames[:frame], changed, *self.frames[frame + 1 :]))


def frame_pointer(frame: int) -> Pointer:
    """Return r10 of the frame at a call depth."""
    return Pointer(pointers.stack(frame), constant(0), ZERO, 0)


def initial(registers: dict[int, Value], length: Scalar) -> State:
    """Return the state at entry: these registers and r10, an empty stack, a body of this length."""
    values = tuple(registers.get(number) for number in range(REGISTERS - 1))
    return State((*values, frame_pointer(0)), (Frame({}, ()),), length)


# --- learning about symbols ------------------------------------------------------------------------------------------


def shifted(scalar: Scalar, delta: int) -> Scalar:
    """Return `scalar + delta`."""
    return scalars.alu(Alu.ADD, True, scalar, constant(delta)) if delta else scalar


def narrowed(before: Scalar, by: Scalar) -> Scalar | None:
    """Return the words in both, or None if there is none; `before` itself if nothing is new."""
    return before if scalars.includes(by, before) else scalars.meet(before, by)


class Impossible(Exception):
    """A place would have no possible value: no execution comes here."""


class _Learnt(NamedTuple):
    """`symbol + delta` is known to be in `word`."""

    symbol: int
    delta: int
    word: Scalar

    def ends(self, delta: int) -> tuple[int, int]:
        """Return the least and the greatest word that `symbol + delta` may be."""
        word = shifted(self.word, wrap(delta - self.delta))
        return word.umin, word.umax

    def narrow(self, scalar: Scalar, delta: int) -> Scalar:
        """Return what `symbol + delta` may be that was in `scalar`: itself if nothing is new. Raises Impossible."""
        found = narrowed(scalar, shifted(self.word, wrap(delta - self.delta)))
        if found is None:
            raise Impossible
        return found


def refined(state: State, symbol: int, word: Scalar, delta: int = 0) -> State | None:
    """Return the state once `symbol + delta` is known to be in `word`; None if then no execution comes here.

    A place `symbol + d` is narrowed by `word + (d - delta)`, in one step: by way of the symbol itself a bound near the
    end of the number line would be lost (`r6 + 1` at most 4 and not negative says of r6 only that it is from -1 to 3).
    """
    if symbol == ZERO:
        return state if scalars.contains(word, delta & _WORD) else None
    try:
        return _with(state, _Learnt(symbol, delta, word), state.links)
    except Impossible:
        return None


def _with(state: State, learnt: _Learnt, links: Sequence[Link]) -> State:
    """Return the state once something is learnt, and all that these links tell then. Raises Impossible."""
    state = _narrowed_by(state, learnt)
    for link in links:
        more = link.told(learnt)
        if more is not None:
            state = _with(state, more, [other for other in links if other is not link])
    return state


def _narrowed_by(state: State, learnt: _Learnt) -> State:
    registers = tuple(_of_value(value, learnt) for value in state.registers)
    frames = tuple(_of_frame(frame, learnt) for frame in state.frames)
    ghosts = tuple(_of_number(ghost, learnt) for ghost in state.ghosts)
    length = learnt.narrow(state.length, 0) if learnt.symbol == LENGTH else state.length
    return State(registers, frames, length, state.reach, ghosts, state.facts, state.links)


def _of_number(number: Number, learnt: _Learnt) -> Number:
    if number.symbol != learnt.symbol:
        return number
    return number._replace(scalar=learnt.narrow(number.scalar, number.delta))


def _of_value(value: Value, learnt: _Learnt) -> Value:
    """Return a value once something is learnt: itself if that tells nothing of it."""
    if isinstance(value, Number | Pointer) and value.symbol == learnt.symbol:
        found = learnt.narrow(value.scalar, value.delta)
        if found is not value.scalar:
            return value._replace(scalar=found)
    return value


def _of_content(content: Content, learnt: _Learnt) -> Content:
    if not isinstance(content, Pieces):
        return _of_value(content, learnt)
    parts = tuple(
        Piece(part.start, part.size, value)
        for part in content.parts
        if isinstance(value := _of_value(part.value, learnt), Number | Unusable)
    )
    return content if parts == content.parts else Pieces(parts)


def _of_frame(frame: Frame, learnt: _Learnt) -> Frame:
    stack = frame.stack
    changes = {
        slot: changed for slot, content in stack.items() if (changed := _of_content(content, learnt)) is not content
    }
    saved = tuple(_of_value(value, learnt) for value in frame.saved)
    return Frame({**stack, **changes}, saved) if changes or saved != frame.saved else frame


def reaching(state: State, symbol: int, bytes_: int) -> State:
    """Return the state once it is known that `symbol + bytes_ <= LENGTH`."""
    known = dict(state.reach)
    if known.get(symbol, bytes_ - 1) >= bytes_:
        return state
    known.pop(symbol, None)
    return state._replace(reach=(*known.items(), (symbol, bytes_))[-REACHES:])


def settled(state: State, origin: int, *, null: bool) -> State:
    """Return the state once it is known whether the lookup `origin` found a value."""

    def settle(value: Value) -> Value:
        if isinstance(value, Pointer) and value.region.origin == origin:
            return literal(0) if null else value._replace(region=value.region._replace(origin=0))
        return value

    return mapped(state, settle)


def mapped(state: State, change: Callable[[Value], Value]) -> State:
    """Return the state with every register, spill and saved register changed by a function that keeps numbers."""
    frames = tuple(
        Frame(
            {slot: c if isinstance(c, Pieces) else change(c) for slot, c in frame.stack.items()},
            tuple(map(change, frame.saved)),
        )
        for frame in state.frames
    )
    return state._replace(registers=tuple(map(change, state.registers)), frames=frames)
