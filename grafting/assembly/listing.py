"""Bytecode as people read it: LLVM's assembly with the source lines between, map and helper names beside.

    # btree_lookup.graft:33:20     let key  = wanted[msg.tag]  else { return deliver }
       L5: r1 = map 0 ll                      # wanted
       L7: call 1                             # map_lookup_elem

The listing of one handler is assembly that `grafting.assembly.assembler` reads back: every instruction has its slot
as a label, and what is not code is a comment.
"""

from __future__ import annotations

from collections.abc import Iterator

from grafting.assembly.disassembler import disassemble_slot
from grafting.isa import CallHelper, LoadMap, LoadMapValue, Operation
from grafting.program import Handler, Program

_COMMENT_COLUMN = 44


def bytecode(program: Program) -> str:
    """Return the listing of all handlers of `program`."""
    return "\n\n".join("\n".join(_handler_lines(program, handler)) for handler in program.handlers)


def _handler_lines(program: Program, handler: Handler) -> Iterator[str]:
    yield f"# {handler.name}  ({handler.event}, {len(handler.instructions)} slots)"
    shown = None
    for pc, op in handler.operations.items():
        info = handler.line_at(pc)
        if info is not None and info.line != shown:
            shown = info.line
            yield from _source_line(program, info.line, info.column)
        text = f"{f'L{pc}':>6}: {disassemble_slot(handler.instructions, pc, op)}"
        comment = _comment(program, handler, op)
        yield f"{text:<{_COMMENT_COLUMN}}# {comment}" if comment else text


def _source_line(program: Program, line: int, column: int) -> Iterator[str]:
    source = program.debug.source
    if source is not None:
        yield f"# {source.filename}:{line}:{column}  {source.line_text(line).strip()}"


def _comment(program: Program, handler: Handler, op: Operation) -> str:
    match op:
        case CallHelper(number):
            helper = handler.hook.helper(number)
            return helper.name if helper else ""
        case LoadMap(index=index) | LoadMapValue(index=index):
            return program.maps[index].name
        case _:
            return ""
