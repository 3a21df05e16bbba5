"""What is known at one point of one path: registers, stack frames, the body's length.

States are immutable: a step makes a new one that shares what it did not change. `refined` is the one way in which
knowledge of a number grows after it was made: a comparison narrows a *symbol*, and every place whose number has that
symbol (registers, spills, pointers' offsets, the body's length) is narrowed with it.

`reach` and `facts` relate symbols:

- `reach[s] == n` says: s + n <= LENGTH, the body goes on for at least n bytes from offset s. It is what a comparison
  with `data_end` proves when the offset checked is not a constant.
- `facts`, inside a loop being summarised, are the comparisons that kept the current iteration in the loop.

`ghosts` are, inside a loop being summarised, the numbers that the loop changes as they were when the current iteration
began (see `loops`). No instruction reads them; they are narrowed like any other place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from grafting.isa import REGISTERS, Alu
from verifier import pointers
from verifier import scalar as scalars
from verifier.comparisons import Comparison
from verifier.scalar import Scalar, constant
from verifier.stack import Content, Piece, Pieces, Stack
from verifier.terms import LENGTH, ZERO
from verifier.values import Number, Pointer, Unusable, Value, literal

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


class State(NamedTuple):
    """One point of one path; see the module. `frames[-1]` is the running function's."""

    registers: tuple[Value, ...]
    frames: tuple[Frame, ...]
    length: Scalar
    reach: tuple[tuple[int, int], ...] = ()
    ghosts: tuple[Number, ...] = ()
    facts: frozenset[Fact] = frozenset()

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


def refined(state: State, symbol: int, word: Scalar) -> State | None:
    """Return the state once `symbol` is known to be in `word`; None if then no execution comes here."""
    if symbol == ZERO:
        return state if scalars.contains(word, 0) else None
    try:
        registers = tuple(_of_value(value, symbol, word) for value in state.registers)
        frames = tuple(_of_frame(frame, symbol, word) for frame in state.frames)
        ghosts = tuple(_of_number(ghost, symbol, word) for ghost in state.ghosts)
        length = _narrow(state.length, word) if symbol == LENGTH else state.length
    except Impossible:
        return None
    return State(registers, frames, length, state.reach, ghosts, state.facts)


def _narrow(scalar: Scalar, by: Scalar) -> Scalar:
    found = narrowed(scalar, by)
    if found is None:
        raise Impossible
    return found


def _of_number(number: Number, symbol: int, word: Scalar) -> Number:
    if number.symbol != symbol:
        return number
    return number._replace(scalar=_narrow(number.scalar, shifted(word, number.delta)))


def _of_value(value: Value, symbol: int, word: Scalar) -> Value:
    """Return a value once `symbol` is in `word`: itself if that tells nothing."""
    if isinstance(value, Number | Pointer) and value.symbol == symbol:
        found = _narrow(value.scalar, shifted(word, value.delta))
        if found is not value.scalar:
            return value._replace(scalar=found)
    return value


def _of_content(content: Content, symbol: int, word: Scalar) -> Content:
    if not isinstance(content, Pieces):
        return _of_value(content, symbol, word)
    parts = tuple(
        Piece(part.start, part.size, value)
        for part in content.parts
        if isinstance(value := _of_value(part.value, symbol, word), Number | Unusable)
    )
    return content if parts == content.parts else Pieces(parts)


def _of_frame(frame: Frame, symbol: int, word: Scalar) -> Frame:
    stack = frame.stack
    changes = {
        slot: changed
        for slot, content in stack.items()
        if (changed := _of_content(content, symbol, word)) is not content
    }
    saved = tuple(_of_value(value, symbol, word) for value in frame.saved)
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
