"""Where a state holds numbers and addresses, by name.

A `Place` is the same key in all states at one block: a register, a saved register of a frame, or bytes of a stack slot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from verifier.scalar import Scalar
from verifier.stack import Content, Piece, Pieces
from verifier.state import Frame, State
from verifier.values import Number, Pointer, Value


class Place(NamedTuple):
    """`kind` is "register" (part: its number), "saved" (of `frame`) or "stack" (part: slot, start: first byte).

    The size in bytes belongs to the name: a slot's first byte is another place than the slot.
    """

    kind: str
    frame: int
    part: int
    start: int = 0
    size: int = 8


At = dict[Place, Number | Pointer]


def places(state: State) -> At:
    """Return every place that holds a number or an address, with what it holds. r10 is left out: it never changes."""
    return {place: value for place, value in _all(state) if isinstance(value, Number | Pointer)}


def _all(state: State) -> Iterator[tuple[Place, object]]:
    for number, value in enumerate(state.registers[:10]):
        yield Place("register", 0, number), value
    for depth, frame in enumerate(state.frames):
        for number, value in enumerate(frame.saved):
            yield Place("saved", depth, number), value
        for slot, content in frame.stack.items():
            if isinstance(content, Pieces):
                for part in content.parts:
                    yield Place("stack", depth, slot, part.start, part.size), part.value
            else:
                yield Place("stack", depth, slot), content


def with_words(state: State, words: Mapping[Place, Scalar]) -> State:
    """Return the state with these words at these places, each of which holds a number or an address."""

    def changed(place: Place, value: Value) -> Value:
        found = words.get(place)
        return value._replace(scalar=found) if found is not None and isinstance(value, Number | Pointer) else value

    def content(depth: int, slot: int, held: Content) -> Content:
        if not isinstance(held, Pieces):
            return changed(Place("stack", depth, slot), held)
        parts = []
        for part in held.parts:
            found = words.get(Place("stack", depth, slot, part.start, part.size))
            if found is not None and isinstance(part.value, Number):
                part = Piece(part.start, part.size, part.value._replace(scalar=found))
            parts.append(part)
        return Pieces(tuple(parts))

    registers = tuple(changed(Place("register", 0, number), value) for number, value in enumerate(state.registers))
    frames = tuple(
        Frame(
            {slot: content(depth, slot, held) for slot, held in frame.stack.items()},
            tuple(changed(Place("saved", depth, number), value) for number, value in enumerate(frame.saved)),
        )
        for depth, frame in enumerate(state.frames)
    )
    return state._replace(registers=registers, frames=frames)
