"""`Program`: what the compiler makes, what an object file holds, what the verifier judges.

A program is *well formed* (`grafting.wellformed`) and nothing more: it is untrusted. Everything beside the
instructions is either a declaration that the verifier holds the code to (maps, slots, budgets) or a hint for messages
(`DebugInfo`, tests): a wrong hint may spoil a message or cause a rejection, never a wrong acceptance.

Each handler is self-contained: the functions that it calls stand behind its own code, its global data are array maps
of one value, and its maps are numbered as in `Program.maps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from grafting import hooks, isa, wellformed
from grafting.diagnostics import NO_SPAN, Source, Span
from grafting.isa import Instruction, Operation


class MapKind(Enum):
    """How a map finds a value."""

    HASH = "hash"  # any key; 2 choices x 8 places a bucket, so an insertion may fail before the map is full
    ARRAY = "array"  # key is a u32 or u64 index; every value exists from the start, zero


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A map or a global data section. Sizes in bytes; `initial` is the first (only) value of a data section.

    `read_only` values may not be stored to (`.rodata`). `key_type` and `value_type` name types of `DebugInfo.types`,
    for printing; empty if unknown.
    """

    name: str
    kind: MapKind
    key_size: int
    value_size: int
    max_entries: int
    initial: bytes = b""
    read_only: bool = False
    key_type: str = ""
    value_type: str = ""

    @property
    def is_data(self) -> bool:
        """Whether this is a global data section (`.bss`, `.data`, `.rodata`) rather than a map of the source."""
        return self.name.startswith(".")


@dataclass(frozen=True, slots=True)
class OpSpec:
    """One operation of a protocol. Request bodies have `request_min` to `request_max` bytes; `reply_type` names the
    struct that a reply carries ("" if none) and `reply_bytes` its size."""

    name: str
    number: int
    request_min: int
    request_max: int
    reply_type: str = ""
    reply_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ProtocolSpec:
    """What can be asked through a capability."""

    name: str
    ops: tuple[OpSpec, ...]

    def op(self, name: str) -> OpSpec | None:
        """Return the operation called `name`, or None."""
        return next((op for op in self.ops if op.name == name), None)


@dataclass(frozen=True, slots=True)
class SlotSpec:
    """A capability slot: the client must fill it at attach with a capability that has at least these rights."""

    name: str
    protocol: ProtocolSpec
    send: bool = True
    grant: bool = False


@dataclass(frozen=True, slots=True)
class Budget:
    """The contract of one handler, None where it says nothing; checked against the proven bound."""

    instructions: int | None = None
    sends: int | None = None
    bytes_sent: int | None = None
    span: Span = NO_SPAN


@dataclass(frozen=True, slots=True)
class LineInfo:
    """From slot `pc` on, the code belongs to this line and column (from 1; column 0 is unknown)."""

    pc: int
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Register:
    """Register `number`, 0 to 9."""

    number: int


@dataclass(frozen=True, slots=True)
class StackSlot:
    """The stack memory that begins `offset` bytes from r10; negative."""

    offset: int


@dataclass(frozen=True, slots=True)
class Constant:
    """No place: the value is this number."""

    value: int


Place = Register | StackSlot


@dataclass(frozen=True, slots=True)
class ValueName:
    """What a source calls a value: before each instruction from slot `first_pc` to `last_pc`, it is what `place` holds.

    `name` is source text: a local ("i"), a view ("node"), or what never changes ("msg.tag", "node.count"). `type` is
    its type in the source; that of a view is what it shows, its value being that struct's address. A view's address is
    `plus` bytes from what `place` holds. An array local has its first byte at `place`; a bool is the lowest bit.
    """

    name: str
    type: str
    first_pc: int
    last_pc: int
    place: Place | Constant
    plus: int = 0


@dataclass(frozen=True, slots=True)
class TestCase:
    """An in-file test, run by `jit.testing`: names and numbers only, no syntax of the language.

    `given` and `expect` are JSON-ready steps whose shape `grafting.testcases` documents.
    """

    __test__ = False  # not a class for pytest to collect

    name: str
    span: Span
    steps: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class DebugInfo:
    """Hints that lead back to the source. All of it may be missing or wrong.

    `types` describes structs and enums by name (see `grafting.objects.metadata`); `spans` gives the source range of the
    expression that starts at a (line, column).
    """

    source: Source | None = None
    types: Mapping[str, Any] = field(default_factory=dict)
    spans: Mapping[tuple[int, int], Span] = field(default_factory=dict)


@dataclass(frozen=True)
class Handler:
    """One entry point. `selector` narrows the event: "disk.read" for a reply, "kv.get" for a request, else ""."""

    name: str
    hook: hooks.Hook
    instructions: tuple[Instruction, ...]
    selector: str = ""
    budget: Budget = Budget()
    lines: tuple[LineInfo, ...] = ()
    maps: int = 0  # how many maps the program declares; what map numbers are checked against
    names: tuple[ValueName, ...] = ()  # a hint, as `lines`

    def __post_init__(self) -> None:
        _ = self.operations  # an ill-formed handler cannot exist

    @property
    def event(self) -> str:
        """The hook's name: "reply", "timer", ..., or "raw_memory", "raw_context"."""
        return self.hook.name

    @cached_property
    def operations(self) -> dict[int, Operation]:
        """The decoded instructions by program counter, in order of address."""
        return wellformed.check(self.instructions, maps=self.maps, handler=self.name)

    def names_at(self, pc: int) -> dict[Place, ValueName]:
        """Return what is known by name before the instruction at slot `pc`, by place; constants are left out.

        Where one place has several names the last of `names` is given: the variable that was declared last, if any is
        among them.
        """
        return {
            name.place: name
            for name in self.names
            if name.first_pc <= pc <= name.last_pc and not isinstance(name.place, Constant)
        }

    def line_at(self, pc: int) -> LineInfo | None:
        """Return the line info that covers slot `pc`, or None."""
        found = None
        for info in self.lines:
            if info.pc > pc:
                break
            found = info
        return found


@dataclass(frozen=True)
class Program:
    """A compiled graft, or any eBPF program that a hook of ours can run. Untrusted."""

    name: str
    handlers: tuple[Handler, ...]
    maps: tuple[MapSpec, ...] = ()
    slots: tuple[SlotSpec, ...] = ()
    serves: tuple[ProtocolSpec, ...] = ()
    tests: tuple[TestCase, ...] = ()
    debug: DebugInfo = DebugInfo()
    image: bytes = field(default=b"", repr=False, compare=False)  # the object it was loaded from, with its BTF

    def handler(self, name: str) -> Handler:
        """Return the handler called `name`; KeyError if there is none."""
        for handler in self.handlers:
            if handler.name == name:
                return handler
        raise KeyError(name)

    @staticmethod
    def from_bytecode(code: bytes, hook: hooks.Hook, *, name: str = "program") -> Program:
        """Return the program of one handler, "main", that is this wire-form bytecode. Raises GraftError."""
        return Program(name, (Handler("main", hook, isa.decode(code)),))

    @staticmethod
    def from_assembly(text: str, hook: hooks.Hook, *, name: str = "program") -> Program:
        """Assemble LLVM's BPF syntax (`r0 = *(u32 *)(r1 + 4)`). Raises GraftError."""
        from grafting.assembly import assembler

        return Program(name, (Handler("main", hook, assembler.assemble(text)),))

    @staticmethod
    def from_elf(data: bytes, *, filename: str = "<object>") -> Program:
        """Load a relocatable BPF object, made by us or by any compiler. Raises GraftError."""
        from grafting.objects import object_file

        return object_file.load(data, filename=filename)

    def to_elf(self) -> bytes:
        """Return the program as a relocatable BPF object that `from_elf` reads back."""
        from grafting.objects import object_file

        return object_file.dump(self)
