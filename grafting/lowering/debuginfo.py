"""Debug metadata: what makes LLVM write `.BTF` and `.BTF.ext`.

BTF serves two readers. The loader (ours, libbpf, bpftool) learns the shape of every map from the *types* of the
`.maps` variables: `struct { int (*type)[1]; key_t *key; value_t *value; int (*max_entries)[1024]; }`, where numbers
are array lengths, since types are all that BTF has. People learn from line info which source line an instruction is
from. Builds are reproducible: the directory is empty and the source text is embedded, so nothing is read from disk.

DWARF comes with it (LLVM makes both or none). The compiler reads from it where the named values are
(`grafting.lowering.placement`) and drops it unless it is asked for: it is ten times the size of the code.
"""

from __future__ import annotations

from grafting.diagnostics import Source, Span
from grafting.lowering.ir import string
from grafting.program import MapKind
from grafting.typed import ConstTable, MapRef, StateVariable
from grafting.types import ArrayType, BoolType, EnumType, IntType, StructType, Type

COLUMN_MAX = 1023  # BTF line info has 10 bits for the column; more would wrap
LINE_MAX = (1 << 22) - 1  # and 22 for the line

# The numbers that Linux gives to these kinds of map (BPF_MAP_TYPE_*).
MAP_TYPE = {MapKind.HASH: 1, MapKind.ARRAY: 2}


def quoted(text: str) -> str:
    """Return `text` as an LLVM string literal."""
    return string(text.encode("utf-8", "surrogatepass"))


class DebugInfo:
    """The metadata nodes of one module. Methods return node numbers; equal types share a node."""

    def __init__(self, source: Source) -> None:
        self._nodes: list[str] = []
        self._types: dict[Type, int] = {}
        self._locations: dict[tuple[int, int, int], int] = {}
        self._globals: list[int] = []
        self._unit = self._reserve()
        self._file = self._add(f'!DIFile(filename: {quoted(source.filename)}, directory: "", '
                               f"source: {quoted(source.text)})")  # fmt: skip
        self._int = self._add('!DIBasicType(name: "int", size: 32, encoding: DW_ATE_signed)')
        context = self._add("!DIDerivedType(tag: DW_TAG_pointer_type, baseType: null, size: 64)")
        result = self.type(IntType(64, False))
        signature = self._add(f"!{{!{result}, !{context}}}")
        self._signature = self._add(f"!DISubroutineType(types: !{signature})")

    def _reserve(self) -> int:
        self._nodes.append("")
        return len(self._nodes) - 1

    def _add(self, text: str) -> int:
        self._nodes.append(text)
        return len(self._nodes) - 1

    # --- code --------------------------------------------------------------------------------------------------------

    def subprogram(self, name: str, span: Span) -> int:
        """Return the node of a handler's function."""
        return self._add(
            f"distinct !DISubprogram(name: {quoted(name)}, scope: !{self._file}, file: !{self._file}, "
            f"line: {min(span.line, LINE_MAX)}, type: !{self._signature}, unit: !{self._unit}, "
            "spFlags: DISPFlagDefinition | DISPFlagOptimized)"
        )

    def location(self, span: Span, subprogram: int) -> int:
        """Return the node of a place in the source; a column past 1023 is given as 1023."""
        key = (min(span.line, LINE_MAX), min(span.column, COLUMN_MAX), subprogram)
        if key not in self._locations:
            line, column, scope = key
            self._locations[key] = self._add(f"!DILocation(line: {line}, column: {column}, scope: !{scope})")
        return self._locations[key]

    def local(self, name: str, type_: int, span: Span, subprogram: int) -> int:
        """Return the node of a named value of a function: a local, a view, a property of the message."""
        return self._add(
            f"!DILocalVariable(name: {quoted(name)}, scope: !{subprogram}, file: !{self._file}, "
            f"line: {min(span.line, LINE_MAX)}, type: !{type_})"
        )

    # --- types -------------------------------------------------------------------------------------------------------

    def type(self, type_: Type) -> int:
        """Return the node of a type of the language."""
        if type_ not in self._types:
            self._types[type_] = self._make_type(type_)
        return self._types[type_]

    def _make_type(self, type_: Type) -> int:
        match type_:
            case IntType(bits, signed):
                encoding = "DW_ATE_signed" if signed else "DW_ATE_unsigned"
                return self._add(f'!DIBasicType(name: "{type_}", size: {bits}, encoding: {encoding})')
            case BoolType():
                return self._add('!DIBasicType(name: "bool", size: 8, encoding: DW_ATE_boolean)')
            case EnumType(name, base, variants):
                unsigned = "" if base.signed else ", isUnsigned: true"
                values = [self._add(f"!DIEnumerator(name: {quoted(n)}, value: {v}{unsigned})") for n, v in variants]
                return self._add(
                    f"!DICompositeType(tag: DW_TAG_enumeration_type, name: {quoted(name)}, file: !{self._file}, "
                    f"baseType: !{self.type(base)}, size: {base.bits}, elements: !{self._list(values)})"
                )
            case ArrayType(element, length):
                return self._array(self.type(element), length, type_.size)
            case StructType(name, fields, size, _):
                members = [(f.name, self.type(f.type), f.offset, f.type.size) for f in fields]
                return self._struct(name, members, size)

    def _list(self, nodes: list[int]) -> int:
        return self._add("!{" + ", ".join(f"!{node}" for node in nodes) + "}")

    def _array(self, element: int, length: int, size: int) -> int:
        count = self._add(f"!DISubrange(count: {length})")
        return self._add(
            f"!DICompositeType(tag: DW_TAG_array_type, baseType: !{element}, size: {size * 8}, "
            f"elements: !{self._list([count])})"
        )

    def _struct(self, name: str, members: list[tuple[str, int, int, int]], size: int) -> int:
        node = self._reserve()
        nodes = [
            self._add(
                f"!DIDerivedType(tag: DW_TAG_member, name: {quoted(member)}, scope: !{node}, file: !{self._file}, "
                f"baseType: !{type_}, size: {bytes_ * 8}, offset: {offset * 8})"
            )
            for member, type_, offset, bytes_ in members
        ]
        named = f"name: {quoted(name)}, " if name else ""
        self._nodes[node] = (
            f"distinct !DICompositeType(tag: DW_TAG_structure_type, {named}file: !{self._file}, "
            f"size: {size * 8}, elements: !{self._list(nodes)})"
        )
        return node

    def view(self, type_: Type) -> int:
        """Return the node of the type of a view: a pointer to what it shows."""
        return self._pointer(self.type(type_))

    def _pointer(self, to: int) -> int:
        return self._add(f"!DIDerivedType(tag: DW_TAG_pointer_type, baseType: !{to}, size: 64)")

    # --- variables ---------------------------------------------------------------------------------------------------

    def _variable(self, name: str, type_: int, span: Span) -> int:
        variable = self._add(
            f"distinct !DIGlobalVariable(name: {quoted(name)}, scope: !{self._unit}, file: !{self._file}, "
            f"line: {min(span.line, LINE_MAX)}, type: !{type_}, isLocal: false, isDefinition: true)"
        )
        expression = self._add(f"!DIGlobalVariableExpression(var: !{variable}, expr: !DIExpression())")
        self._globals.append(expression)
        return expression

    def data(self, variable: StateVariable | ConstTable) -> int:
        """Return the node to attach to a variable of `.bss`, `.data` or `.rodata`."""
        return self._variable(variable.name, self.type(variable.type), variable.span)

    def map(self, map_: MapRef) -> int:
        """Return the node to attach to a variable of `.maps`: the definition that libbpf and we read."""
        key = IntType(map_.spec.key_size * 8, False) if map_.spec.kind is MapKind.ARRAY else map_.key
        members = [
            ("type", self._number(MAP_TYPE[map_.spec.kind])),
            ("key", self._pointer(self.type(key))),
            ("value", self._pointer(self.type(map_.value))),
            ("max_entries", self._number(map_.spec.max_entries)),
        ]
        shape = [(name, node, index * 8, 8) for index, (name, node) in enumerate(members)]
        return self._variable(map_.name, self._struct("", shape, 8 * len(shape)), map_.span)

    def _number(self, value: int) -> int:
        return self._pointer(self._array(self._int, value, 4 * value))

    # --- the module --------------------------------------------------------------------------------------------------

    def text(self) -> str:
        """Return all metadata, to stand at the end of the module."""
        variables = self._list(self._globals)
        self._nodes[self._unit] = (
            f'distinct !DICompileUnit(language: DW_LANG_C11, file: !{self._file}, producer: "grafting", '
            f"isOptimized: true, runtimeVersion: 0, emissionKind: FullDebug, globals: !{variables})"
        )
        version = self._add('!{i32 2, !"Debug Info Version", i32 3}')
        dwarf = self._add('!{i32 7, !"Dwarf Version", i32 5}')
        head = [f"!llvm.dbg.cu = !{{!{self._unit}}}", f"!llvm.module.flags = !{{!{version}, !{dwarf}}}"]
        return "\n".join(head + [f"!{number} = {node}" for number, node in enumerate(self._nodes)]) + "\n"
