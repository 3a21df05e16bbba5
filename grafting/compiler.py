"""The way from source text to an object and a `Program`, stage by stage.

    parse -> check -> lower -> LLVM -> ELF object -> names placed, DWARF dropped -> object_file.load -> Program

What comes out is what the loader reads from the object: a graft that was just compiled and one that was loaded from a
file are the same `Program`. Builds are reproducible: the object depends on the source text and on the file's name as
given, and on nothing else (no directory, date, process or hash seed).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from grafting import typed
from grafting.checking.check import check
from grafting.diagnostics import Source, Span
from grafting.lowering import llvm, lower, placement
from grafting.lowering import target as targets
from grafting.objects import elf, metadata, object_file
from grafting.parsing.parse import parse
from grafting.program import Program

if TYPE_CHECKING:
    from grafting.lowering.llvm_worker import Worker


def compile_source(source: Source, *, target: str = "model") -> Program:
    """Compile one graft. Raises GraftError with every independent error found."""
    return object_file.load(compile_object(source, target=target), source.filename)


def compile_object(
    source: Source,
    *,
    target: str = "model",
    debug: bool = False,
    emit: Callable[[str], bytes] = llvm.emit_object,
) -> bytes:
    """Compile one graft into the bytes of a BPF object; `debug` keeps DWARF.

    A long-lived process that compiles strangers' programs passes a worker's `emit_object` as `emit`, since LLVM may end
    the process that it runs in (see `grafting.lowering.llvm_worker`). Raises GraftError, and InternalError if LLVM
    refuses our code.
    """
    module = lowered(source, target=target)
    file = elf.read(emit(module.text), source.filename, dwarf=True)
    return elf.write(_finished(file, module, dwarf=debug))


def _finished(file: elf.Elf, module: lower.Lowered, *, dwarf: bool = False) -> elf.Elf:
    """Return what LLVM made with its section `.graft`, which places names by the DWARF; that is kept if `dwarf`."""
    said = metadata.encode(placement.placed(file, module))
    kept = tuple(section for section in file.sections if dwarf or not section.is_dwarf)
    number = 1 + max(section.number for section in file.sections)
    section = elf.Section(number, metadata.SECTION, elf.PROGBITS, elf.ALLOC, said, len(said))
    return replace(file, sections=(*kept, section))


def compile_in_worker(source: Source, worker: Worker, *, target: str = "model") -> Program:
    """As `compile_source`, with LLVM in another process."""
    return object_file.load(compile_object(source, target=target, emit=worker.emit_object), source.filename)


def checked(source: Source) -> typed.Graft:
    """Return the typed tree of a source text. Raises GraftError."""
    return check(source, parse(source))


def lowered(source: Source, *, target: str = "model") -> lower.Lowered:
    """Return the LLVM module of a source text, as text. Raises GraftError."""
    return lower.lower(checked(source), targets.find(target))


# --- stages as text --------------------------------------------------------------------------------------------------


def show_ir(source: Source, *, optimised: bool = False) -> str:
    """Return the LLVM module, before or after LLVM's passes, with the source lines between. Raises GraftError."""
    text = lowered(source).text
    return _interleaved(llvm.optimised_text(text) if optimised else text, source)


_LOCATION = re.compile(r"^!(\d+) = !DILocation\(line: (\d+)", re.MULTILINE)
_MARK = re.compile(r", !dbg !(\d+)$")


def _interleaved(text: str, source: Source) -> str:
    line_of = {number: int(line) for number, line in _LOCATION.findall(text)}
    lines = source.text.splitlines()
    shown: list[str] = []
    current = 0
    for row in text.splitlines():
        if row.startswith(("!", "  #dbg_")):
            continue  # what the other lines refer to, and names
        mark = _MARK.search(row)
        line = line_of.get(mark[1], 0) if mark else 0
        if line and line != current and row.startswith(" "):
            current = line
            shown.append(f"  ; {source.filename}:{line}  {lines[line - 1].strip()}")
        shown.append(_MARK.sub("", row))
    return "\n".join(shown).rstrip() + "\n"


def show_ast(source: Source) -> str:
    """Return the syntax tree, a node a line, each with its place. Raises GraftError (G01xx)."""
    return "\n".join(_tree(parse(source), "", 0)) + "\n"


def _tree(value: Any, label: str, level: int) -> Iterator[str]:
    indent = "  " * level + (f"{label}: " if label else "")
    match value:
        case None | () | "":
            return
        case tuple():
            if all(_is_leaf(item) for item in value):
                yield f"{indent}{', '.join(map(_leaf, value))}"
                return
            yield f"{indent}[{len(value)}]"
            for item in value:
                yield from _tree(item, "", level + 1)
        case _ if is_dataclass(value) and not _is_leaf(value):
            span = getattr(value, "span", None)
            place = f" @{span.line}:{span.column}" if isinstance(span, Span) else ""
            inner = [(f.name, getattr(value, f.name)) for f in fields(value) if f.name != "span"]
            leaves = " ".join(f"{name}={_leaf(v)}" for name, v in inner if _is_leaf(v) and v not in (None, ""))
            yield f"{indent}{type(value).__name__}{' ' + leaves if leaves else ''}{place}"
            for name, item in inner:
                if not _is_leaf(item):
                    yield from _tree(item, name, level + 1)
        case _:
            yield f"{indent}{_leaf(value)}"


def _is_leaf(value: Any) -> bool:
    return value is None or isinstance(value, str | int | bool | bytes | Enum | Span)


def _leaf(value: Any) -> str:
    match value:
        case Enum():
            return value.name.lower()
        case Span():
            return f"{value.line}:{value.column}"
        case _:
            return repr(value) if isinstance(value, str) else str(value)
