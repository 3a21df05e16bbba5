"""A refusal in words: the gaps in its sentences filled in, the ranges of what they name, the edits that would do.

Three sorts of reader are told from what the object carries (`naming.language`): of a graft, of C or the like, of
assembly alone. A `help` is an edit of what they see; it is offered only if it makes this very access safe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from grafting import limits
from grafting.diagnostics import NO_SPAN, Label
from grafting.isa import Reg
from grafting.program import Program
from verifier import spans
from verifier.decisions import turns
from verifier.naming import Language, Naming, in_brackets, language
from verifier.pointers import FARTHEST, Kind
from verifier.refusal import Absent, Bytes, Cap, Confine, Count, Held, Help, Reach, Refusal, Test, Unset, Words
from verifier.source_terms import LENGTH, Leaf, Sum
from verifier.values import Number, Pointer

_BOUND_IT = "bound the offset by a comparison or a mask before the access"


class Worded(NamedTuple):
    """A refusal in words.

    `known`: what is known of each number that it names. `origin`: where what it speaks of comes from. `decisions`:
    where the way to it turned, first things first.
    """

    message: str
    known: tuple[str, ...]
    origin: tuple[Label, ...]
    notes: tuple[str, ...]
    helps: tuple[str, ...]
    decisions: tuple[Label, ...]


def plainly(program: Program, refusal: Refusal) -> Worded:
    """Return a refusal for which no way is known in words."""
    helps = tuple(
        counting(program) if isinstance(help_, Count) else help_
        for help_ in refusal.helps if isinstance(help_, str | Count)
    )  # fmt: skip
    return Worded(_plain(refusal.message), (), (), tuple(_plain(note) for note in refusal.notes), helps, ())


def _plain(words: Words) -> str:
    if isinstance(words, str):
        return words
    return "".join(part if isinstance(part, str) else f"r{part[0]}" for part in words)


def counting(program: Program) -> str:
    """Return how to write a loop that ends."""
    match language(program):
        case Language.GRAFT:
            return "count the rounds: `for i in 0..n max N`, or `while condition limit N`"
        case Language.C:
            return "count the rounds: `for (i = 0; i < N; i++)`, and change `i` nowhere else"
        case Language.ASSEMBLY:
            return "count the rounds in a register that nothing else changes, and leave the loop at a limit"


@dataclass(slots=True)
class Writer:
    """Writes about the end of one way.

    `_regions`: the leaves that what it speaks of depends on, the body on its length. `_origin`: see `Worded`.
    """

    naming: Naming
    _regions: set[Leaf] = field(default_factory=set)
    _origin: list[Label] = field(default_factory=list)

    def write(self, refusal: Refusal) -> Worded:
        """Return a refusal in words."""
        message = self._words(refusal.message)
        for register in refusal.about:
            self.naming.sum(self.naming.reckoner.held(register, self.naming.way.state))
        known = tuple(self.naming.known(leaf) for leaf in self.naming.used if leaf is not LENGTH)
        notes = tuple(self._words(note) for note in refusal.notes)
        helps = tuple(text for help_ in refusal.helps if (text := self._help(help_)))
        path = () if refusal.everywhere else turns(self.naming, {*self.naming.used, *self._regions})
        return Worded(message, known, tuple(self._origin), notes, helps, path)

    # --- sums and names ----------------------------------------------------------------------------------------------

    def _words(self, words: Words) -> str:
        if isinstance(words, str):
            return words
        return "".join(part if isinstance(part, str) else self._gap(part) for part in words)

    def _gap(self, part: Held | Bytes | Absent | Unset) -> str:
        match part:
            case Held(register):
                return f"`{self._held(register)}`"
            case Bytes():
                return self._bytes(part)
            case Absent(register):
                return self._absent(register)
            case Unset(register):
                return self._unset(register)

    def _held(self, register: int) -> str:
        if not isinstance(self.naming.way.state.registers[register], Number | Pointer):
            return self.naming.variable(self.naming.pc, register) or f"r{register}"
        if isinstance(self.naming.way.state.registers[register], Pointer):
            return self.naming.alias(register) or f"r{register}"
        held = self.naming.reckoner.held(register, self.naming.way.state)
        return self.naming.sum(held) if held.terms else f"r{register}"

    def _bytes(self, bytes_: Bytes) -> str:
        start, size = self.extent(bytes_)
        end = start.plus(size) if start is not None else None
        if start is None or end is None:
            return f"{bytes_.length} bytes at r{bytes_.base}{bytes_.offset:+d}"
        value = self.naming.way.state.registers[bytes_.base]
        if isinstance(value, Pointer) and value.region.kind is Kind.BODY:
            self._regions.add(LENGTH)
        on_stack = isinstance(value, Pointer) and value.region.kind is Kind.STACK
        first, last = (self._from_r10(sum_) if on_stack else self.naming.sum(sum_) for sum_ in (start, end))
        return f"byte {first}" if size == Sum((), 1) else f"bytes {first} .. {last}"

    def _from_r10(self, sum_: Sum) -> str:
        text = self.naming.sum(sum_)
        return "r10" if text == "0" else f"r10{text}" if text.startswith("-") else f"r10+{text}"

    def extent(self, bytes_: Bytes) -> tuple[Sum | None, Sum]:
        """Return where bytes begin, as an offset in their region, and how many they are."""
        state = self.naming.way.state
        start = self.naming.reckoner.held(bytes_.base, state).plus(Sum((), bytes_.offset))
        if isinstance(bytes_.length, Reg):
            return start, self.naming.reckoner.held(bytes_.length.number, state)
        return start, Sum((), bytes_.length)

    def _absent(self, register: int) -> str:
        text = self.naming.lookup(register)
        found = self.naming.reckoner.held(register, self.naming.way.state).found
        span = spans.span_at(self.naming.program, self.naming.handler, found.pc) if found is not None else NO_SPAN
        if span.known and span != spans.span_at(self.naming.program, self.naming.handler, self.naming.pc):
            self._origin.append(Label(spans.first_line(self.naming.program, span), "looked up here"))
        if text is not None:
            return f"`{text}`"
        value = self.naming.way.state.registers[register]
        maps = value.region.maps if isinstance(value, Pointer) else ()
        names = " or ".join(f"`{self.naming.program.maps[m].name}`" for m in maps)
        where = self.naming.where(found.pc) if found is not None else ""
        return f"what the lookup{where} finds in map {names}"

    def _unset(self, register: int) -> str:
        lost = self.naming.reckoner.lost.get(register)
        if lost is None:
            return "is never set on this path"
        return f"was lost in the call{self.naming.where(lost)}: a call leaves nothing in r1 to r5"

    # --- helps -------------------------------------------------------------------------------------------------------

    def _help(self, help_: Help) -> str | None:
        match help_:
            case str():
                return help_
            case Confine(bytes_, limit):
                start, size = self.extent(bytes_)
                end = start.plus(size) if start is not None else None
                return self._confine(end, limit) if end is not None else _BOUND_IT
            case Cap(register, most):
                return self._confine(self.naming.reckoner.held(register, self.naming.way.state), most)
            case Reach(bytes_):
                return self._reach(bytes_)
            case Test(register):
                return self._test(register)
            case Count():
                return counting(self.naming.program)

    def _confine(self, end: Sum, limit: int) -> str | None:
        """Return the condition on the one leaf of a sum that keeps the sum at or below a limit."""
        if len(end.terms) != 1 or end.terms[0][1] < 0:
            return _BOUND_IT if end.terms else None
        leaf, factor = end.terms[0]
        most = (limit - end.constant) // factor
        known = self.naming.range(leaf)
        if most < 0 or known.umax <= most or known.umin > most:
            return None
        name = in_brackets(self.naming.name(leaf))
        if leaf.loop is not None and self.naming.counter(leaf) == name:
            return f"bound the loop: `for {name} in {max(known.smin, 0)}..{most + 1}`, or `max {most + 1}`"
        match self.naming.language:
            case Language.GRAFT:
                return f"check it first: `if {name} <= {most} {{ .. }}`"
            case Language.C:
                return f"check it first: `if ({name} <= {most}) ..`, on an unsigned number"
            case Language.ASSEMBLY:
                return f"check it first: `if {name} > {most} goto ..`"

    def _reach(self, bytes_: Bytes) -> str | None:
        """Return the condition by which the body has these bytes."""
        start, size = self.extent(bytes_)
        end = start.plus(size) if start is not None else None
        if end is None or any(leaf is LENGTH for leaf, _ in end.terms):
            return None
        low, high = self.naming.bounds(end)
        if low < 0 or high > FARTHEST:
            return self._confine(end, limits.BODY_BYTES)
        fixed = high <= limits.BODY_BYTES
        last = str(high) if fixed else self._spaced(end)
        match self.naming.language:
            case Language.GRAFT:
                return f"check the length first: `if {last} <= {self.naming.message}.len {{ .. }}`"
            case Language.C:
                return f"compare with `data_end` first: `if (data + {last} > data_end) return ..;`"
            case Language.ASSEMBLY:
                return f"compare with `data_end` first: go on only if `data + {last}` is not above it"

    def _spaced(self, sum_: Sum) -> str:
        return re.sub(r"(?<=[\w)])([+-])", r" \1 ", self.naming.sum(sum_))

    def _test(self, register: int) -> str:
        match self.naming.language:
            case Language.GRAFT:
                return f"give it an `else`: `let v = {self.naming.lookup(register) or 'm[k]'} else {{ .. }}`"
            case Language.C:
                return "compare the lookup's result with 0 first: `if (!p) return ..;`"
            case Language.ASSEMBLY:
                return f"compare the lookup's result with 0 first: `if r{register} == 0 goto ..`"
