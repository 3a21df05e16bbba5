"""Typed tree -> LLVM IR, as text.

One module a graft: maps in `.maps`, state in `.bss` and `.data`, tables in `.rodata`, and one function a handler, in a
section of its own. Every function of the language is inlined here, not by LLVM: no function of the module takes more
than the context or returns more than a number, so nothing depends on LLVM's calling convention for BPF.

The module is not trusted and need not be right for safety: what comes out is verified as bytecode. It must be right for
the user, and it must never contain what makes LLVM's BPF back end end the process; `grafting.lowering.llvm` lists that.

    on timer(id) { done }   becomes   define dso_local i64 @timer(ptr %ctx) #0 section "graft/timer" { .. ret i64 0 }
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from grafting import hooks, limits, typed
from grafting.diagnostics import InternalError, Span, fail
from grafting.lowering.debuginfo import DebugInfo
from grafting.lowering.expressions import assign, load
from grafting.lowering.frame import Address, Frame
from grafting.lowering.ir import Function, constant, string
from grafting.lowering.loads import Loads
from grafting.lowering.names import Meanings, Names
from grafting.lowering.statements import block, inline
from grafting.lowering.target import Target
from grafting.objects import metadata
from grafting.objects.metadata import Metadata
from grafting.types import ArrayType, StructType

MEMORY_BYTES = 8 * 1024  # arrays and scratch of one handler: far beyond any frame, far within LLVM's (`llvm`)

_COLUMNS = 16  # columns of a span's first line that may stand for it in line info

_HEAD = (
    'target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"',
    'target triple = "bpfel"',
)
# Without `nounwind` there would be `.eh_frame` relocations; a jump table would need an indirect jump.
_ATTRIBUTES = ('attributes #0 = { nounwind "no-jump-tables"="true" }', "attributes #1 = { nounwind }")


@dataclass(frozen=True, slots=True)
class Lowered:
    """A module's text, and what has to be added to its object.

    `metadata`: the section `.graft`, still without the names of values. `symbols`: each handler's function, by section.
    """

    text: str
    metadata: Metadata
    symbols: dict[str, str]
    meanings: Meanings


def lower(graft: typed.Graft, target: Target) -> Lowered:
    """Return the LLVM module of `graft`.

    Raises GraftError G0402 if the locals of a handler fit no frame.
    """
    return _Module(graft, target).lower()


class _Module:
    """The module under construction."""

    def __init__(self, graft: typed.Graft, target: Target) -> None:
        self.graft, self.target = graft, target
        self.debug = DebugInfo(graft.source)
        self.used: set[str] = set()
        self.symbols: dict[typed.MapRef | typed.StateVariable | typed.ConstTable, str] = {}
        self.spans: dict[tuple[int, int], Span] = {}
        self.functions: dict[str, str] = {}
        self.meanings: Meanings = {}

    def lower(self) -> Lowered:
        """Lower everything, in order of declaration."""
        parts = [f"source_filename = {string(self.graft.name.encode())}", *_HEAD, ""]
        parts += [self.map(map_) for map_ in self.graft.maps]
        for section in (".data", ".bss"):
            parts += self.section(section, [state for state in self.graft.states if state.section == section])
        parts += self.section(".rodata", self.graft.tables)
        for handler in self.graft.handlers:
            parts += ["", self.handler(handler)]
        parts += ["", *_ATTRIBUTES, "", self.debug.text()]
        said = metadata.of_graft(self.graft, self.spans)  # the spans are known now that all handlers are made
        return Lowered("\n".join(parts), said, self.functions, self.meanings)

    # --- globals -----------------------------------------------------------------------------------------------------

    def symbol(self, name: str) -> str:
        """Return a symbol name like `name` that nothing else in the module has."""
        base = re.sub(r"[^A-Za-z0-9_]", "_", name)
        while base in self.used:
            base += "_"
        self.used.add(base)
        return base

    def map(self, map_: typed.MapRef) -> str:
        """Return the definition of a map: four pointers whose types say everything."""
        symbol = self.symbol(map_.name)
        self.symbols[map_] = f"@{symbol}"
        return (
            f'@{symbol} = dso_local global {{ ptr, ptr, ptr, ptr }} zeroinitializer, section ".maps", align 8, '
            f"!dbg !{self.debug.map(map_)}"
        )

    def section(self, name: str, variables: Sequence[typed.StateVariable | typed.ConstTable]) -> list[str]:
        """Return the definitions of a data section, each variable at the offset that the checker gave it."""
        lines: list[str] = []
        end = 0
        for variable in sorted(variables, key=lambda v: v.offset):
            gap = variable.offset - end
            if gap < 0:
                raise InternalError(f"{variable.name} overlaps another variable of {name}")
            if gap:
                lines.append(f'@{self.symbol(f"pad{end}")} = dso_local global [{gap} x i8] zeroinitializer, '
                             f'section "{name}", align 1')  # fmt: skip
            lines.append(self.variable(name, variable))
            end = variable.offset + variable.type.size
        return lines

    def variable(self, section: str, variable: typed.StateVariable | typed.ConstTable) -> str:
        """Return the definition of one state variable or table."""
        symbol = self.symbol(variable.name)
        self.symbols[variable] = f"@{symbol}"
        kind = "constant" if isinstance(variable, typed.ConstTable) else "global"
        initial = f"c{string(variable.initial)}" if any(variable.initial) else "zeroinitializer"
        align = variable.type.align
        if variable.offset % align:
            raise InternalError(f"{variable.name} is not aligned in {section}")
        return (
            f'@{symbol} = dso_local {kind} [{variable.type.size} x i8] {initial}, section "{section}", '
            f"align {8 if variable.offset % 8 == 0 else align}, !dbg !{self.debug.data(variable)}"
        )

    def column(self, span: Span) -> int:
        """Return the column that stands for a span in line info: its first one that stands for no other span.

        `node.leaf` and `node.leaf != 0` begin at one column, and the jump belongs to the second.
        """
        for column in range(span.column, span.column + min(span.end - span.start, _COLUMNS)):
            if self.spans.setdefault((span.line, column), span) == span:
                return column
        return span.column

    # --- handlers ----------------------------------------------------------------------------------------------------

    def handler(self, handler: typed.Handler) -> str:
        """Return the function of a handler."""
        symbol = self.functions[f"graft/{handler.name}"] = self.symbol(handler.name)
        subprogram = self.debug.subprogram(symbol, handler.span)

        def locate(span: Span) -> int:
            return self.debug.location(replace(span, column=self.column(span)), subprogram)

        ir = Function(self.target.section + handler.name, symbol, subprogram, locate)
        names = Names(ir, symbol, subprogram, self.graft.source, self.debug, self.meanings)
        f = Frame(ir, self.target, self.graft.source, self.symbols, inline, names, Loads(ir))
        f.ir.at(handler.span)
        self.arguments(f, handler)
        block(f, handler.body)
        f.ir.ret(constant(hooks.DONE))  # reached by timers and schedules only: every other path returns a verdict
        if f.ir.memory_bytes > MEMORY_BYTES:
            raise fail(
                "G0402", f"the locals of `{handler.name}` need {f.ir.memory_bytes} bytes of stack", handler.span,
                source=self.graft.source, handler=handler.name,
                notes=(f"a stack frame has {limits.STACK_BYTES} bytes; functions are inlined with their arrays",),
                helps=("keep large arrays in a `state` variable or in a map",),
            )  # fmt: skip
        return f.ir.text()

    def arguments(self, f: Frame, handler: typed.Handler) -> None:
        """Set the request's arguments from the body; a body too short for them leaves the request to the server."""
        if not handler.args_bytes:
            return
        data = f.context_pointer("data")
        limit = f.ir.offset(data, handler.args_bytes)
        short, enough = f.ir.label("short"), f.ir.label("enough")
        f.ir.branch(f.ir.flag(f"icmp ugt ptr {limit}, {f.context_pointer('data_end')}"), short, enough)
        f.ir.begin(short)
        f.ir.ret(constant(hooks.PASS))
        f.ir.begin(enough)
        for variable, offset in handler.args:
            if isinstance(variable.type, ArrayType | StructType):
                raise InternalError(f"argument {variable.name} is not a scalar")
            assign(f, variable, load(f, Address(data, offset), variable.type))
            maker = f.names.part(handler.span.start, handler.body.span.start)
            f.names.variable(variable, f.local(variable), f.part(handler.body.span), maker)
