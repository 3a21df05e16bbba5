"""Machine code as people read it: with the source lines and the bytecode that it is made of between.

    ; list_chase.graft:27  if left == 0 || cell.next == 0 {
    ;  L24: if r2 == 0 goto L27
            testq   %rcx, %rcx
            je      .LBB0_9

`lowering` leaves a comment for each instruction of the program; from those comes LLVM's own debug information, its
"lines" being slots, so that LLVM says of each machine instruction which slot it came from, however it moved it about.
Debug information does not change the code: what is shown is what runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from grafting.assembly.disassembler import disassemble_slot
from grafting.program import Handler, Program
from jit.native import engine, llvm
from jit.native.lowering import SLOT

if TYPE_CHECKING:
    from verifier import Verified

_HANDLER = re.compile(r"define i64 @h(\d+)\(")
_HANDLER_NAME = re.compile(r"h(\d+)")
_MAP_NAME = re.compile(r"_(\d+)$")
_LOCATION = re.compile(r"\.loc\s+\d+\s+(\d+)")
_LABEL = re.compile(r"(\.?\w+):")
_UNIT: Final = """
!llvm.module.flags = !{!0}
!llvm.dbg.cu = !{!1}
!0 = !{i32 2, !"Debug Info Version", i32 3}
!1 = distinct !DICompileUnit(language: DW_LANG_C, file: !2, emissionKind: LineTablesOnly)
!2 = !DIFile(filename: "slots", directory: "")
!3 = !DISubroutineType(types: !4)
!4 = !{}
"""
_FIRST: Final = 5  # number of the first of our own nodes


def native(verified: Verified) -> str:
    """Return the machine code of a program for this machine, that of the variant without counters.

    Raises GraftError G0710 as `engine.compile_native`.
    """
    made = engine.module(verified, counting=False)
    text = llvm.emit_assembly(_with_slots(made.text), thorough=made.long)
    return "\n".join(_listing(verified.program, text)).lstrip("\n")


def _with_slots(text: str) -> str:
    """Return a module's IR with debug information: each instruction of a handler at the "line" slot + 1."""
    lines: list[str] = []
    nodes: list[str] = []
    places: dict[tuple[int, int], int] = {}
    function = slot = -1
    for line in text.split("\n"):
        if match := _HANDLER.match(line):
            function, slot = _FIRST + len(nodes), -1
            nodes.append(f'distinct !DISubprogram(name: "h{match[1]}", file: !2, line: 1, type: !3, scopeLine: 1, '
                         "spFlags: DISPFlagDefinition, unit: !1)")  # fmt: skip
            line = f"{line.removesuffix('{')}!dbg !{function} {{"
        elif line == "}":
            function = -1
        elif line.strip().startswith(SLOT):
            slot = int(line.strip().removeprefix(SLOT))
        elif function >= 0 and slot >= 0 and line.startswith("  "):
            if (function, slot) not in places:
                places[function, slot] = _FIRST + len(nodes)
                nodes.append(f"!DILocation(line: {slot + 1}, column: 1, scope: !{function})")
            line = f"{line}, !dbg !{places[function, slot]}"
        lines.append(line)
    return "\n".join([*lines, _UNIT, *(f"!{_FIRST + number} = {node}" for number, node in enumerate(nodes))])


def _listing(program: Program, text: str) -> Iterator[str]:
    """Yield the lines of an assembly text that are code: the handlers, then the functions of maps that they call."""
    functions = dict(_functions(text))
    for name in sorted(functions, key=lambda name: _HANDLER_NAME.fullmatch(name) is None):  # stable
        yield ""
        if match := _HANDLER_NAME.fullmatch(name):
            handler = program.handlers[int(match[1])]
            yield f"{handler.name}:"
            yield from _handler(program, handler, functions[name])
        else:
            of_map = _MAP_NAME.search(name)
            yield f"{name}:" + (f"  (map {program.maps[int(of_map[1])].name})" if of_map else "")
            yield from (line for line in functions[name] if not _LOCATION.match(line))


def _functions(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the functions of an assembly text by name, their instructions, labels of blocks and `.loc`s."""
    lines: list[str] = []
    for raw in text.split("\n"):
        code = raw.strip()
        if match := _LABEL.match(code):
            if match[1].startswith(".LBB"):
                lines.append(f"{match[1]}:")
            elif not match[1].startswith("."):
                lines = []
                yield match[1], lines
        elif _LOCATION.match(code):
            lines.append(code)
        elif code and not code.startswith((".", "#")):
            mnemonic, _, operands = code.partition("\t")
            lines.append(f"        {mnemonic:<10} {operands.expandtabs(8)}".rstrip())


def _handler(program: Program, handler: Handler, lines: list[str]) -> Iterator[str]:
    """Yield the code of a handler with what it is made of between."""
    slot = shown = shown_line = -1
    for code in lines:
        if match := _LOCATION.match(code):
            slot = int(match[1]) - 1
            continue
        if slot not in (-1, shown):
            info = handler.line_at(slot)
            if info is not None and info.line != shown_line:
                shown_line = info.line
                yield from _source(program, shown_line)
            shown = slot
            yield f"; {f'L{slot}':>6}: {disassemble_slot(handler.instructions, slot, handler.operations[slot])}"
        yield code


def _source(program: Program, line: int) -> Iterator[str]:
    source = program.debug.source
    if source is not None:
        yield f"; {source.filename}:{line}  {source.line_text(line).strip()}"
