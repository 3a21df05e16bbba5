"""Where the names of a handler's values are in its bytecode: LLVM's answer, held against the source's scopes.

LLVM says from which instruction to which a register still has the value; `grafting.lowering.names` says in which part
of the source the name means it, and which part makes it. A name is placed where both agree, instruction by instruction,
by the line info of the object, and up to the first instruction of another part that changes the register: where it
spills registers, LLVM (22) takes what comes into a register later for the value that it had before. What is left out is
only unnamed: names are hints for messages.

LLVM counts stack slots from the lowest byte of the frame, whose size no section tells. Every byte of our stack memory
is written before it is read, the lowest too, so the size is the lowest offset from r10 that occurs in the code.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

from grafting import isa, limits
from grafting.isa import Instruction
from grafting.lowering.lower import Lowered
from grafting.lowering.names import Part, Parts, Position
from grafting.objects import btf, btf_ext, dwarf
from grafting.objects.dwarf import Variable
from grafting.objects.elf import Elf, Section
from grafting.objects.metadata import Metadata
from grafting.program import Constant, Place, Register, StackSlot, ValueName

_SLOT: Final = 8  # bytes
_ADD_IMMEDIATE, _MOVE_REGISTER, _MOVE_IMMEDIATE, _LOAD_WORD = 0x07, 0xBF, 0xB7, 0x79
_MOVE_REGISTER_32, _MOVE_IMMEDIATE_32 = 0xBC, 0xB4
_CLOBBERED: Final = range(6)  # by a call: r0 to r5
_What = tuple[str, str, Place | Constant, int]
_Runs = list[tuple[int, int]]


def placed(file: Elf, lowered: Lowered) -> Metadata:
    """Return what an object says of itself with the names that its DWARF places; `file` was read with it."""
    located = dwarf.variables(file)
    positions = _positions(file)
    notes = []
    for note in lowered.metadata.handlers:
        section, symbol = file.named(note.section), lowered.symbols[note.section]
        if section is not None and symbol in located:
            named = [
                (variable, parts)
                for variable in located[symbol]
                if (parts := lowered.meanings.get((symbol, variable.name, variable.line))) is not None
            ]
            note = replace(note, names=_Names(section, positions.get(note.section, []), named).all())
        notes.append(note)
    return replace(lowered.metadata, handlers=tuple(notes))


def _positions(file: Elf) -> dict[str, list[tuple[int, Position]]]:
    """Return by section, in order, the source position of the code from a slot on."""
    types, ext = file.named(".BTF"), file.named(".BTF.ext")
    found: dict[str, list[tuple[int, Position]]] = {}
    if types is None or ext is None:
        return found
    records = btf_ext.parse(ext.data, btf.strings_of(types.data, file.where(types)), file.where(ext)).lines
    for record in records:
        if record.line:
            found.setdefault(record.section, []).append((record.offset // _SLOT, (record.line, record.column)))
    for rows in found.values():
        rows.sort()
    return found


class _Names:
    """The names of one handler, while they are collected."""

    def __init__(
        self, section: Section, positions: Sequence[tuple[int, Position]], named: Sequence[tuple[Variable, Parts]]
    ) -> None:
        self._code = isa.decode(section.data)
        self._positions = positions
        self._starts = [pc for pc, _ in positions]
        self._runs: dict[_What, _Runs] = {}
        self._lines: dict[_What, int] = {}
        self._steps = limits.NAMING_STEPS
        self._held = {number: bytearray(len(self._code) + 1) for number in range(isa.REGISTERS)}
        """By register: 1 at each slot before which it has had a name already."""
        self._beginnings: dict[tuple[Place | Constant, int], list[Part]] = {}  # makers of all that begin there, by slot
        for variable, parts in named:
            for location in variable.locations:
                start, end = location.start // _SLOT, location.end // _SLOT
                self._beginnings.setdefault((location.place, start), []).extend(parts.makers)
                if isinstance(location.place, Register):
                    self._held[location.place.number][start + 1 : end + 1] = b"\1" * (end - start)
        for variable, parts in named:
            self._add(variable, parts)

    @cached_property
    def _frame(self) -> int:
        return frame_bytes(self._code)

    @cached_property
    def _changes(self) -> dict[int, list[int]]:
        """By register, the slots of the instructions that change it, in order."""
        found: dict[int, list[int]] = {number: [] for number in range(isa.REGISTERS)}
        second = False  # of the two slots of an `lddw`
        for pc, instruction in enumerate(self._code):
            if not second:
                for number in _changed(instruction):
                    found[number].append(pc)
            second = instruction.opcode == isa.LDDW and not second
        return found

    @cached_property
    def _joins(self) -> frozenset[int]:
        """The slots that are jumped to."""
        return frozenset(
            pc + 1 + (instruction.imm if instruction.opcode == isa.JA32 else instruction.offset)
            for pc, instruction in enumerate(self._code)
            if instruction.klass in (isa.JMP, isa.JMP32) and instruction.opcode not in (isa.CALL, isa.CALLX, isa.EXIT)
        )

    def _add(self, variable: Variable, parts: Parts) -> None:
        """Add a variable where LLVM has it, nothing else has been put there, and one of its scopes holds."""
        if len(variable.name) > limits.VALUE_NAME_CHARACTERS:
            return
        type_ = variable.type if len(variable.type) <= limits.VALUE_NAME_CHARACTERS else ""
        for location in variable.locations:
            first, end = location.start // _SLOT, min(location.end // _SLOT, len(self._code))
            place = location.place
            match place:
                case Register(number):
                    end = self._until_changed(number, first, end, variable, parts.makers)
                case StackSlot(offset):
                    place = StackSlot(offset - self._frame)
            what = variable.name, type_, place, location.plus
            self._lines[what] = variable.line
            self._runs.setdefault(what, []).extend(self._within(first, end, place, parts))

    def _until_changed(self, register: int, first: int, end: int, variable: Variable, makers: Sequence[Part]) -> int:
        """Return up to where, at most `end`, nothing but the variable's value has come into a register.

        What came last before `first` may be made for another variable, of which this one is a copy. And what is loaded
        just there is taken for the value if that is made in one place only, and LLVM has not had it in this register
        before: LLVM moves loads to their use, and then they do not say where they belong. Where ways meet, there is no
        telling what came last.
        """
        changes = self._changes[register]
        for pc in changes[max(bisect_left(changes, first) - 1, 0) :]:
            after = pc + (2 if self._code[pc].opcode == isa.LDDW else 1)
            if pc >= end or not self._steps:
                break
            self._steps -= 1
            if pc < first and (
                first in self._joins
                or (after < first and self._held[register][first])
                or (after == first and self._is_moved_load(pc, register, first, variable, makers))
            ):
                continue
            allowed = makers if pc >= first else self._beginnings[Register(register), first]
            if not self._makes(pc, allowed) and not self._transfers(pc, variable):
                return first if pc < first else after
        return end

    def _is_moved_load(self, pc: int, register: int, first: int, variable: Variable, makers: Sequence[Part]) -> bool:
        instruction = self._code[pc]
        from_frame = instruction.src == isa.FRAME_POINTER
        if instruction.klass != isa.LDX or from_frame or len(makers) != 1:
            return False
        return not any(
            where.start < first * _SLOT and where.place == Register(register) for where in variable.locations
        )

    def _makes(self, pc: int, makers: Sequence[Part]) -> bool:
        """Whether an instruction belongs to code that makes the value."""
        row = bisect_right(self._starts, pc) - 1
        return row >= 0 and any(self._positions[row][1] in part for part in makers)

    def _transfers(self, pc: int, variable: Variable) -> bool:
        """Whether an instruction copies the variable from another place where LLVM has it."""
        instruction = self._code[pc]
        source: Place | Constant
        match instruction.opcode:
            case op if op in (_MOVE_REGISTER, _MOVE_REGISTER_32):
                source = Register(instruction.src)
            case op if op in (_MOVE_IMMEDIATE, _MOVE_IMMEDIATE_32):
                source = Constant(instruction.imm)
            case op if op == _LOAD_WORD and instruction.src == isa.FRAME_POINTER:
                source = StackSlot(instruction.offset + self._frame)
            case _:
                return False
        at = pc * _SLOT
        return any(where.start <= at < where.end and where.place == source for where in variable.locations)

    def _within(self, first: int, end: int, place: Place | Constant, parts: Parts) -> Iterable[tuple[int, int]]:
        """Yield the stretches of code in scope, but for what is making a new value where the old one was."""
        changes = self._changes[place.number] if isinstance(place, Register) else []
        at = bisect_left(changes, first)
        changed = changes[at] if at < len(changes) else end
        row = max(bisect_right(self._starts, first) - 1, 0)
        while row < len(self._positions) and self._positions[row][0] < end and self._steps:
            self._steps -= 1
            pc, position = self._positions[row]
            row += 1
            after = self._positions[row][0] if row < len(self._positions) else len(self._code)
            last = min(after, end)
            if any(position in maker for maker in parts.makers):
                last = min(last, changed + 1)
            if any(position in scope for scope in parts.scopes) and max(pc, first) < last:
                yield max(pc, first), last - 1

    def all(self) -> tuple[ValueName, ...]:
        """Return the names, at each place the best one last: variables after properties, in order of declaration."""
        ordered = sorted(self._runs, key=lambda what: ("." not in what[0], self._lines[what]))
        names = [
            ValueName(name, type_, first, last, place, plus)
            for what in ordered
            for first, last in _joined(self._runs[what])
            for name, type_, place, plus in (what,)
        ]
        return tuple(names[: limits.HANDLER_NAMES])


def _joined(runs: _Runs) -> _Runs:
    """Return the same slots in as few runs as can be, in order."""
    found: _Runs = []
    for first, last in sorted(runs):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return found


def _changed(instruction: Instruction) -> Sequence[int]:
    """Return the registers that an instruction changes."""
    match instruction.klass:
        case isa.LD | isa.LDX | isa.ALU32 | isa.ALU64:
            return (instruction.dst,)
        case isa.JMP if instruction.opcode in (isa.CALL, isa.CALLX):
            return _CLOBBERED
        case isa.STX if instruction.opcode & isa.MODE_ATOMIC == isa.MODE_ATOMIC:
            return (0, instruction.src)
    return ()


def frame_bytes(code: Sequence[Instruction]) -> int:
    """Return how many bytes below r10 a function uses: the lowest offset that it reads, writes or computes."""
    lowest = 0
    copied = -1  # the register that the last instruction set to r10
    for instruction in code:
        match instruction.klass:
            case isa.LDX if instruction.src == isa.FRAME_POINTER:
                lowest = min(lowest, instruction.offset)
            case isa.ST | isa.STX if instruction.dst == isa.FRAME_POINTER:
                lowest = min(lowest, instruction.offset)
            case isa.ALU64 if instruction.opcode == _ADD_IMMEDIATE and instruction.dst == copied:
                lowest = min(lowest, instruction.imm)
        moves = instruction.opcode == _MOVE_REGISTER and instruction.src == isa.FRAME_POINTER
        copied = instruction.dst if moves else -1
    return -lowest
