"""From code sections to self-contained handlers: functions, calls between them, and the addresses of data.

A compiler leaves three things to the loader: which map an `lddw` means (R_BPF_64_64), which function a `call` means
(R_BPF_64_32, or a distance within the section), and putting the callees where the caller can reach them. `Linker.link`
does so for one entry point: its function comes first, then each function that it reaches, in order of discovery; every
call is rewritten to the new distance, every map address to the by-index form of RFC 9669 section 5.4.

Functions move whole. So that this changes no meaning, it is checked that no jump leaves its function, that none falls
through its end, and that calls from outside hit its first instruction. Whether the result is *safe* is the verifier's
business; here only its identity with what was compiled matters.

    graft/reply:  r1 = 0 ll  (reloc: nodes)    becomes    r1 = map 2 ll
                  call -1    (reloc: .text)               call +1
                  exit                                    exit
    .text:        w0 = 1; exit                            w0 = 1; exit
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from grafting import isa, limits
from grafting.diagnostics import GraftError
from grafting.isa import Instruction
from grafting.objects.elf import FUNC, LOCAL, R_BPF_64_32, R_BPF_64_64, UNDEFINED, Elf, Relocation, Section, Symbol

_SLOT = 8  # bytes


@dataclass(frozen=True, slots=True)
class Function:
    """`code` stands at slot `start` of `section`. `entry`: visible outside its file."""

    name: str
    section: Section
    start: int
    code: tuple[Instruction, ...]
    entry: bool

    @property
    def end(self) -> int:
        """The slot behind it."""
        return self.start + len(self.code)


@dataclass(frozen=True, slots=True)
class Placed:
    """A function and the slot of the linked code at which it now stands."""

    function: Function
    base: int


@dataclass(frozen=True, slots=True)
class Linked:
    """Self-contained code, and where its parts are from."""

    code: tuple[Instruction, ...]
    parts: tuple[Placed, ...]


@dataclass(frozen=True, slots=True)
class Addresses:
    """What data addresses mean: `maps` by (section number, byte), data sections by section number; map numbers."""

    maps: Mapping[tuple[int, int], int]
    data: Mapping[int, int]


def functions_of(elf: Elf, section: Section) -> list[Function]:
    """Return the functions of a code section by address; raises GraftError G0521 unless symbols describe them well."""
    where = elf.where(section)
    if section.size % _SLOT:
        raise where.error("G0521", f"{section.size} bytes of code, not a multiple of {_SLOT}")
    symbols = [s for s in elf.symbols if s.section == section.number and s.type == FUNC]
    if not symbols:
        raise where.error("G0521", "code that no function symbol describes")
    spans: dict[tuple[int, int], Symbol] = {}
    for symbol in sorted(symbols, key=lambda s: (s.value, s.binding == LOCAL)):
        spans.setdefault((symbol.value, symbol.size), symbol)
    found: list[Function] = []
    for (value, size), symbol in spans.items():
        at = elf.where(section, value)
        if value % _SLOT or size % _SLOT or not size or value + size > section.size:
            raise at.error("G0521", f"function `{symbol.name}` of {size} bytes at {value:#x} is not within the section")
        if found and value < found[-1].end * _SLOT:
            raise at.error("G0521", f"function `{symbol.name}` overlaps `{found[-1].name}`")
        code = isa.decode(section.data[value : value + size])
        found.append(Function(symbol.name, section, value // _SLOT, code, symbol.binding != LOCAL))
    return found


def entry_of(elf: Elf, section: Section, functions: Sequence[Function]) -> Function:
    """Return the function of a handler section at which the kernel enters; raises GraftError G0521 if it is not one."""
    entries = [f for f in functions if f.entry] or list(functions)
    if len(entries) != 1:
        names = ", ".join(f"`{f.name}`" for f in entries[:5])
        raise elf.where(section).error(
            "G0521", f"{len(entries)} functions are entry points: {names}",
            helps=("make helper functions `static`, and keep one handler in a section",),
        )  # fmt: skip
    return entries[0]


class Linker:
    """Links the handlers of one object."""

    def __init__(self, elf: Elf, functions: Mapping[int, Sequence[Function]], addresses: Addresses) -> None:
        self.elf, self.functions, self.addresses = elf, functions, addresses
        self.starts = {number: [f.start for f in found] for number, found in functions.items()}
        self.relocations = {number: {r.offset: r for r in elf.relocations.get(number, ())} for number in functions}
        self.relocated = {number: sorted(relocations) for number, relocations in self.relocations.items()}
        self.slots_left = limits.OBJECT_SLOTS

    def function_at(self, section: int, slot: int) -> Function | None:
        """Return the function of a section that covers `slot`."""
        place = bisect_right(self.starts.get(section, ()), slot) - 1
        if place < 0:
            return None
        found = self.functions[section][place]
        return found if slot < found.end else None

    def relocations_within(self, function: Function) -> int:
        """Return how many places in a function are relocated."""
        offsets = self.relocated[function.section.number]
        return bisect_left(offsets, function.end * _SLOT) - bisect_left(offsets, function.start * _SLOT)

    def link(self, entry: Function) -> Linked:
        """Return the code of `entry` and all that it reaches.

        Raises GraftError: G0506 too long, G0522 a relocation that does not fit its instruction, G0523 an address
        outside the object's maps, data and functions, G0524 a jump or call that is not into a function's beginning.
        """
        return _Link(self, entry).run()


class _Link:
    """One run of the linker."""

    def __init__(self, linker: Linker, entry: Function) -> None:
        self.linker, self.elf, self.entry = linker, linker.elf, entry
        self.parts: list[Placed] = []
        self.bases: dict[tuple[int, int], int] = {}  # (section number, first slot) -> slot in the linked code
        self.size = 0

    def error(self, function: Function, pc: int, code: str, message: str, *helps: str) -> GraftError:
        offset = (function.start + pc) * _SLOT
        return self.elf.where(function.section, offset).error(code, f"`{function.name}`: {message}", helps=helps)

    def run(self) -> Linked:
        self.place(self.entry)
        code: list[Instruction] = []
        for part in self.parts:  # grows while it is walked
            code += self.rewrite(part)
        return Linked(tuple(code), tuple(self.parts))

    def place(self, function: Function) -> int:
        """Return the slot of a function in the linked code, appended if it is new."""
        key = function.section.number, function.start
        if key not in self.bases:
            length = len(function.code)
            if self.size + length > limits.PROGRAM_SLOTS or length > self.linker.slots_left:
                raise self.error(
                    function, 0, "G0506", f"handler `{self.entry.section.name}` with its callees is too long: "
                    f"at most {limits.PROGRAM_SLOTS} slots, {limits.OBJECT_SLOTS} for all handlers",
                )  # fmt: skip
            self.bases[key] = self.size
            self.parts.append(Placed(function, self.size))
            self.size += length
            self.linker.slots_left -= length
        return self.bases[key]

    def rewrite(self, part: Placed) -> list[Instruction]:
        """Return the code of one function with its addresses and calls filled in."""
        function = part.function
        code = list(function.code)
        relocations = self.linker.relocations[function.section.number]
        used = 0
        pc = 0
        while pc < len(code):
            relocation = relocations.get((function.start + pc) * _SLOT)
            used += relocation is not None
            wide = code[pc].opcode == isa.LDDW and pc + 1 < len(code)
            if relocation is not None and wide:
                code[pc : pc + 2] = self.address(function, pc, relocation)
            elif code[pc].opcode == isa.CALL and code[pc].src == isa.CALL_LOCAL:
                code[pc] = self.call(part, pc, relocation)
            elif relocation is not None:
                raise self.error(function, pc, "G0522", "a relocation of an instruction that has no address")
            else:
                self.check_jump(function, pc)
            pc += 2 if wide else 1
        if used != self.linker.relocations_within(function):
            raise self.error(function, 0, "G0522", "a relocation that is not at the beginning of an instruction")
        if code[-1].opcode not in (isa.EXIT, isa.JA, isa.JA32):
            raise self.error(function, len(code) - 1, "G0524", "execution can run past the end of the function")
        return code

    def check_jump(self, function: Function, pc: int) -> None:
        i = function.code[pc]
        if i.klass not in (isa.JMP, isa.JMP32) or i.opcode in (isa.CALL, isa.CALLX, isa.EXIT):
            return
        target = pc + 1 + (i.imm if i.opcode == isa.JA32 else i.offset)
        if not 0 <= target < len(function.code):
            raise self.error(function, pc, "G0524", f"a jump to slot {target}, out of the function")

    def address(self, function: Function, pc: int, relocation: Relocation) -> tuple[Instruction, Instruction]:
        """Return the `lddw` of what a relocation points to."""
        low, high = function.code[pc], function.code[pc + 1]
        symbol = self.elf.symbols[relocation.symbol]
        if relocation.type != R_BPF_64_64 or low.src != isa.LDDW_IMMEDIATE:
            raise self.error(function, pc, "G0522", f"a relocation of kind {relocation.type} on an `lddw`")
        offset = symbol.value + ((high.imm & isa.U32) << 32 | low.imm & isa.U32) & isa.U64
        number = self.linker.addresses.maps.get((symbol.section, offset))
        if number is not None:
            return replace(low, src=isa.LDDW_MAP, imm=number), replace(high, imm=0)
        number = self.linker.addresses.data.get(symbol.section)
        if number is None:
            raise self.error(function, pc, "G0523", self.unknown(symbol, offset))
        if offset > isa.U32:
            raise self.error(function, pc, "G0523", f"an address {offset:#x} bytes into a data section, past its end")
        signed = offset - (1 << 32) if offset >> 31 else offset
        return replace(low, src=isa.LDDW_MAP_VALUE, imm=number), replace(high, imm=signed)

    def unknown(self, symbol: Symbol, offset: int) -> str:
        if symbol.section == UNDEFINED:
            return f"the address of `{symbol.name}`, which is defined nowhere"
        section = self.elf.numbered(symbol.section)
        name = section.name if section else "?"
        return f"the address {offset:#x} in section `{name}`, where there is no map and no data"

    def call(self, part: Placed, pc: int, relocation: Relocation | None) -> Instruction:
        """Return the call of what a relocation, or a distance within the section, points to."""
        function = part.function
        i = function.code[pc]
        number, slot = function.section.number, function.start + pc + 1 + i.imm
        if relocation is not None:
            symbol = self.elf.symbols[relocation.symbol]
            if relocation.type != R_BPF_64_32:
                raise self.error(function, pc, "G0522", f"a relocation of kind {relocation.type} on a call")
            if symbol.section == UNDEFINED:
                raise self.error(
                    function, pc, "G0523", f"a call of `{symbol.name}`, which is defined nowhere",
                    "helpers of the kernel are called by number: see `graft.h`",
                )  # fmt: skip
            number, slot = symbol.section, symbol.value // _SLOT + i.imm + 1
        callee = self.linker.function_at(number, slot)
        if callee is None or (slot != callee.start and callee is not function):
            raise self.error(function, pc, "G0524", f"a call to slot {slot}, where no function begins")
        target = self.place(callee) + slot - callee.start
        return replace(i, imm=target - (part.base + pc) - 1)
