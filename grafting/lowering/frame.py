"""What the lowering of one handler knows: where its variables live, where its loops and functions end.

Locals are slots of the entry block, one a variable however often its function is inlined (every use is preceded by a
declaration, so instances cannot see each other's values); LLVM turns the scalar ones into registers. Views are
addresses and never move, so they need no slot.

A frame has 512 bytes, so stack memory is lent, not given. An array goes back to the pool at the end of the block that
declares it, and the next one uses the same bytes; every declaration sets its array anew. Memory handed to helpers
(keys, values, messages under construction) is *scratch*: taken for one call and given back, so that a handler with
twenty lookups has one key in its frame. Two pools, since LLVM can keep an array in registers only as long as no helper
has ever had its address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from grafting import typed
from grafting.diagnostics import Source, Span
from grafting.lowering import ir
from grafting.lowering.ir import Flag, Function, Label, Number, Pointer
from grafting.lowering.loads import Loads
from grafting.lowering.names import Names, Part
from grafting.lowering.target import Target
from grafting.types import ArrayType, BoolType


@dataclass(frozen=True, slots=True)
class Address:
    """A place in memory: `base` plus a constant number of bytes, kept apart so that it ends up in the instruction."""

    base: Pointer
    offset: int = 0

    def plus(self, bytes_: int) -> Address:
        """Return the address `bytes_` further."""
        return Address(self.base, self.offset + bytes_)


@dataclass(frozen=True, slots=True)
class Loop:
    """Where `continue` and `break` go."""

    again: Label
    end: Label


@dataclass(frozen=True, slots=True)
class Inlining:
    """Where `return` goes inside an inlined function, and the slot for its result."""

    end: Label
    result: Pointer | None


Inliner = Callable[["Frame", typed.Function, tuple[typed.Expr, ...]], Pointer | None]


@dataclass(slots=True)
class Frame:
    """The state of lowering one handler.

    `symbols` names the global of every map, state variable and table. `inline` lowers a call and returns the slot
    that holds its result; it is a field because expressions and statements contain each other.
    """

    ir: Function
    target: Target
    source: Source
    symbols: Mapping[typed.MapRef | typed.StateVariable | typed.ConstTable, str]
    inline: Inliner
    names: Names
    loads: Loads
    locals: dict[typed.Variable, Pointer] = field(default_factory=dict)
    views: dict[typed.ViewVariable, Address] = field(default_factory=dict)
    loops: list[Loop] = field(default_factory=list)
    inlinings: list[Inlining] = field(default_factory=list)
    scopes: list[list[typed.Variable]] = field(default_factory=list)  # the arrays that each open block has declared
    ends: list[int] = field(default_factory=list)  # where, in the source text, each open block ends
    arrays: list[Pointer] = field(default_factory=list)  # free memory for arrays
    scratches: list[Pointer] = field(default_factory=list)  # free memory for helpers' operands

    def local(self, variable: typed.Variable) -> Pointer:
        """Return the slot of a local, made at its first use."""
        if variable not in self.locals:
            match variable.type:
                case ArrayType() as array:
                    slot = self._take(self.arrays, array.size)
                    self.scopes[-1].append(variable)
                case BoolType():
                    slot = self.ir.alloca("i1")
                case _:
                    slot = self.ir.alloca("i64")
            self.locals[variable] = slot
        return self.locals[variable]

    @contextmanager
    def scope(self, span: Span) -> Iterator[None]:
        """Lower the block at `span`: the memory of the arrays that it declares is free afterwards."""
        self.scopes.append([])
        self.ends.append(span.end)
        yield
        self.ends.pop()
        self.arrays += [self.locals.pop(array) for array in self.scopes.pop()]

    def part(self, span: Span) -> Part:
        """Return a part of the source text."""
        return self.names.part(span.start, span.end)

    def rest_of_block(self, after: Span) -> Part:
        """Return what follows a statement in its block: where the names that it declares are known."""
        return self.names.part(after.end, self.ends[-1])

    @contextmanager
    def scratch(self, size: int) -> Iterator[Pointer]:
        """Lend `size` bytes of 8-aligned stack memory."""
        memory = self._take(self.scratches, size)
        yield memory
        self.scratches.append(memory)

    def _take(self, pool: list[Pointer], size: int) -> Pointer:
        """Take the smallest free memory that has `size` bytes, else the largest, made larger, else new memory."""
        if not pool:
            return self.ir.memory(size)
        by_size = sorted(pool, key=self.ir.memory_size)
        memory = next((m for m in by_size if self.ir.memory_size(m) >= size), by_size[-1])
        pool.remove(memory)
        self.ir.widen(memory, size)
        return memory

    def context_field(self, name: str) -> Number:
        """Load a field of the context, extended to 64 bits."""
        found = self.target.fields[name]
        place = self.ir.offset(self.ir.context, found.offset)
        bits = found.size * 8
        if bits == 64:
            return self.ir.number(f"load i64, ptr {place}, align 8")
        narrow = self.ir.narrow(f"load i{bits}, ptr {place}, align {found.size}")
        return self.ir.number(f"{'sext' if found.signed else 'zext'} i{bits} {narrow} to i64")

    def context_pointer(self, name: str) -> Pointer:
        """Load an address from the context: `data` or `data_end`."""
        place = self.ir.offset(self.ir.context, self.target.fields[name].offset)
        return self.ir.pointer(f"load ptr, ptr {place}, align 8")

    def call(self, helper: str, *arguments: str) -> Number:
        """Call a kernel function with typed operands (`i64 7`, `ptr %m1`); at most five."""
        operands = ", ".join(arguments)
        if helper != "ktime_get_ns":
            self.loads.memory_changed()
        return self.ir.number(f"call i64 inttoptr (i64 {self.target.helpers[helper]} to ptr)({operands}) #1")

    def call_pointer(self, helper: str, *arguments: str) -> Pointer:
        """Call a kernel function that returns an address or null."""
        operands = ", ".join(arguments)
        self.loads.memory_changed()
        return self.ir.pointer(f"call ptr inttoptr (i64 {self.target.helpers[helper]} to ptr)({operands}) #1")

    def failed(self, status: Number) -> Flag:
        """Return whether a helper's status says that it failed."""
        return self.ir.flag(f"icmp ne i64 {status}, 0")

    def pointer(self, address: Address) -> Pointer:
        """Return an address as one operand."""
        return self.ir.offset(address.base, address.offset)


def word(value: Number | int) -> str:
    """Return a number as a typed operand."""
    return f"i64 {ir.constant(value) if isinstance(value, int) else value}"
