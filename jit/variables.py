"""Where the state variables of a graft lie, by name: offsets from the object's symbols, types from its BTF.

(In a relocatable object the offsets of BTF itself are all 0.) Both come from whoever made the object and are only hints
here. A wrong one gives a wrong name, or none: a variable that does not lie within its section is left out, a type that
cannot be named makes its value a number or plain bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from grafting import limits
from grafting.objects import btf, elf
from grafting.objects.btf import Array, Btf, Variable
from grafting.objects.elf import Elf, Symbol
from grafting.program import Program


@dataclass(frozen=True, slots=True)
class StateVariable:
    """A variable in a data section; `offset` and `size` in bytes, `type` as in the source, "" if unknown."""

    name: str
    section: str
    offset: int
    size: int
    type: str


def variables_of(program: Program) -> Mapping[str, StateVariable]:
    """Return the state variables in order of section and offset; none if the program comes without an object."""
    if not program.image:
        return {}
    file = elf.read(program.image)
    section = file.named(".BTF")
    types = btf.parse(section.data, file.where(section)) if section is not None and section.size else None
    found: dict[str, StateVariable] = {}
    for spec in program.maps:
        if not spec.is_data or spec.read_only:
            continue
        for symbol in sorted(_symbols(file, spec.name), key=lambda symbol: symbol.value):
            if symbol.name and 0 < symbol.size <= spec.value_size - symbol.value:
                type_ = _type_of(types, spec.name, symbol.name)
                found[symbol.name] = StateVariable(symbol.name, spec.name, symbol.value, symbol.size, type_)
    return found


def _symbols(file: Elf, section: str) -> list[Symbol]:
    numbers = {s.number for s in file.sections if s.name == section}
    return [symbol for symbol in file.symbols if symbol.section in numbers and symbol.type == elf.OBJECT]


def _type_of(types: Btf | None, section: str, name: str) -> str:
    described = types.data_section(section) if types else None
    if types is None or described is None:
        return ""
    variables = [types.type(number) for number, _, _ in described.variables]
    numbers = [v.type for v in variables if isinstance(v, Variable) and v.name == name]
    return _type_name(types, numbers[0]) if numbers else ""


def _type_name(types: Btf, number: int, depth: int = 0) -> str:
    match types.type(number):
        case Array(element, _, count) if depth < limits.SOURCE_NESTING:
            return f"[{_type_name(types, element, depth + 1)}; {count}]"
        case Array():
            return ""
        case _:
            return types.name(number)
