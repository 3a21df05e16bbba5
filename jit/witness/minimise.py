"""A smaller input with the same misbehaviour: what does not matter is dropped or zero, numbers are small.

Greedy, each step checked by a run: state that is not needed goes, the body becomes short, halves, quarters, ... of what
it holds become zero, from its end on (delta debugging: Zeller, Hildebrandt, "Simplifying and isolating
failure-inducing input", TSE 2002), then each byte and field that is left becomes a small power of two, or loses bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from jit.witness.inputs import FIELDS, LENGTH, Input, Shape
from jit.witness.terms import Atom

_SMALL: Final = 8  # bits of the numbers that are tried for a field

Same = Callable[[Input], bool]


def shrink(given: Input, shape: Shape, same: Same) -> Input:
    """Return an input for which `same` holds as it does for `given`; `same` may say no whenever it is tired."""
    given = _state(given, same)
    given = _shorter(given, shape, same)
    given = _zeros(given, shape, same)
    return _numbers(given, shape, same)


def _state(given: Input, same: Same) -> Input:
    """Drop what the graft remembers, all of it or one by one."""
    bare = replace(given, entries=(), patches=(), empty=frozenset(), timers=frozenset(), held=frozenset())
    if bare == given or same(bare):
        return bare
    for entry in given.entries:
        given = _better(given, replace(given, entries=tuple(e for e in given.entries if e != entry)), same)
    for patch in given.patches:
        given = _better(given, replace(given, patches=tuple(p for p in given.patches if p != patch)), same)
    for name in sorted(given.empty):
        given = _better(given, replace(given, empty=given.empty - {name}), same)
    for number in sorted(given.timers):
        given = _better(given, replace(given, timers=given.timers - {number}), same)
    for number in sorted(given.held):
        given = _better(given, replace(given, held=given.held - {number}), same)
    return given


def _shorter(given: Input, shape: Shape, same: Same) -> Input:
    """Shorten the body, by large pieces first."""
    part = 0 if shape.fixed else len(given.body)
    while part:
        shorter = shape.changed(given, {LENGTH: len(given.body) - part}) if part <= len(given.body) else None
        if shorter is not None and same(shorter):
            given = shorter
        else:
            part //= 2
    return given


def _zeros(given: Input, shape: Shape, same: Same) -> Input:
    """Put zeros, or the least that is allowed, wherever they do."""
    simplest = dict(shape.simplest().fields)
    for name, number in given.fields:
        if number != simplest.get(name, 0):
            given = _better(given, _with_field(shape, name, given, simplest.get(name, 0)), same)
    set_bytes = [at for at, octet in enumerate(given.body) if octet]
    part = len(set_bytes)
    while part:
        for end in range(len(set_bytes), 0, -part):
            body = bytearray(given.body)
            for at in set_bytes[max(0, end - part) : end]:
                body[at] = 0
            given = _better(given, replace(given, body=bytes(body)), same)
        part //= 2
    for index, (entry, value) in enumerate(given.entries):
        for at in (None, *range(len(value) - 1, -1, -1)):
            now = given.entries[index][1]
            less = bytes(len(now)) if at is None else now[:at] + b"\0" + now[at + 1 :]
            entries = (*given.entries[:index], (entry, less), *given.entries[index + 1 :])
            given = _better(given, replace(given, entries=entries), same)
    return given


def _numbers(given: Input, shape: Shape, same: Same) -> Input:
    """Make each number that is left less."""
    for at in range(len(given.body)):
        given = _least(given, given.body[at], partial(_with_byte, at), same)
    for name, number in given.fields:
        given = _least(given, number, partial(_with_field, shape, name), same)
    return given


def _least(given: Input, number: int, put: Callable[[Input, int], Input], same: Same) -> Input:
    """Put a small power of two in place of a number, or take what bits can be taken from it."""
    for smaller in (1 << bit for bit in range(_SMALL) if 1 << bit < number):
        less = put(given, smaller)
        if less != given and same(less):
            return less
    for bit in range(number.bit_length()) if number & number - 1 else ():
        less = put(given, number & ~(1 << bit))
        if number >> bit & 1 and less != given and same(less):
            given, number = less, number & ~(1 << bit)
    return given


def _with_byte(at: int, given: Input, octet: int) -> Input:
    return replace(given, body=given.body[:at] + bytes([octet]) + given.body[at + 1 :])


def _with_field(shape: Shape, name: str, given: Input, value: int) -> Input:
    return shape.changed(given, {Atom(("field", name), FIELDS[name]): value}) or given


def _better(given: Input, smaller: Input, same: Same) -> Input:
    return smaller if smaller != given and same(smaller) else given
