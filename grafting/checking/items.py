"""Items: constants, types, protocols, slots, maps and state, each resolved when it is first asked for.

Items may stand in any order and use one another: an array's length may be a constant, which may be an enum's variant.
So a declaration is resolved on demand, once; meeting one that is just being resolved is a cycle, which is reported.
An item with an error becomes `Poison`: it is known by name, so that its uses raise no second complaint.
"""

from __future__ import annotations

from collections.abc import Iterable

from grafting import limits, syntax, typed
from grafting.checking import constants
from grafting.checking.layout import FieldDeclaration, OpLayout, ProtocolLayout, Section, lay_out
from grafting.checking.reporter import Reporter
from grafting.checking.scope import (
    ConstantName,
    EnumName,
    FunctionName,
    Poison,
    SlotName,
    StructName,
    Symbol,
    suggest,
)
from grafting.checking.type_names import local_type, resolve, resolve_scalar
from grafting.diagnostics import Label
from grafting.program import MapKind, MapSpec, OpSpec, ProtocolSpec, SlotSpec
from grafting.types import (
    BUILTIN,
    U64,
    ArrayType,
    BoolType,
    EnumType,
    IntType,
    Scalar,
    StructType,
    Type,
)

BUILTIN_FUNCTIONS = ("len", "now")
CHAIN_MAX = 64  # items that wait for one another; keeps a chain of constants within Python's stack
ARRAY_KEY_BYTES = 4  # an array map's key is a u32 in memory, as in Linux

Declared = (
    syntax.Const | syntax.Enum | syntax.Struct | syntax.Map | syntax.State | syntax.Cap | syntax.Function
)  # fmt: skip


class Items:
    """The items of one graft by name. `find` resolves; `resolve_all` resolves and reports everything."""

    def __init__(self, tree: syntax.Graft, report: Reporter) -> None:
        self.report = report
        self._tree = tree
        self._trees: dict[str, Declared] = {}
        self._symbols: dict[str, Symbol] = {}
        self._resolving: list[str] = []
        self._sections = {name: Section(name) for name in (".bss", ".data", ".rodata")}
        self._protocol_trees: dict[str, syntax.Protocol] = {}
        self._protocols: dict[str, ProtocolLayout] = {}
        self.serves: list[ProtocolLayout] = []
        self._collect()
        self._slot_numbers = {name: n for n, name in enumerate(self.names_of(syntax.Cap))}
        self._map_numbers = {name: n for n, name in enumerate(self.names_of(syntax.Map))}

    # --- names -------------------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        for item in self._tree.items:
            match item:
                case syntax.Protocol(name=name):
                    first = self._protocol_trees.setdefault(name.name, item)
                    self._complain_if_again(name, first.name, first is not item)
                case syntax.Const() | syntax.Enum() | syntax.Struct() | syntax.Map() | syntax.State():
                    self._collect_named(item)
                case syntax.Cap() | syntax.Function():
                    self._collect_named(item)
                case syntax.Serve() | syntax.On() | syntax.Test():
                    pass

    def _collect_named(self, item: Declared) -> None:
        name = item.name
        if name.name in BUILTIN or name.name in BUILTIN_FUNCTIONS:
            kind = "type" if name.name in BUILTIN else "function"
            self.report.error("G0202", f"`{name.name}` is a built-in {kind}", name.span, "choose another name")
            return
        first = self._trees.setdefault(name.name, item)
        self._complain_if_again(name, first.name, first is not item)

    def _complain_if_again(self, name: syntax.Ident, first: syntax.Ident, again: bool) -> None:
        if again:
            self.report.error("G0202", f"`{name.name}` is declared twice", name.span, "declared again here",
                              labels=(Label(first.span, "first declared here"),))  # fmt: skip

    def names_of(self, kind: type[Declared]) -> list[str]:
        """Return the names of the items made by one kind of declaration, in order."""
        return [name for name, item in self._trees.items() if isinstance(item, kind)]

    def names(self) -> Iterable[str]:
        """Return the names of all items but protocols."""
        return self._trees

    def type_names(self) -> list[str]:
        """Return the names of structs and enums."""
        return [*self.names_of(syntax.Struct), *self.names_of(syntax.Enum)]

    def scalar_type(self, tree: syntax.TypeExpr) -> Scalar | None:
        """Return the scalar type as written, or None if that was reported."""
        return resolve_scalar(self, tree, "the target of `as`")

    # --- resolution on demand ----------------------------------------------------------------------------------------

    def find(self, name: str) -> Symbol | None:
        """Return what an item's name stands for, or None if there is no such item."""
        if name in self._symbols:
            return self._symbols[name]
        if name not in self._trees:
            return None
        tree = self._trees[name]
        if name in self._resolving or len(self._resolving) >= CHAIN_MAX:
            self._report_cycle(name, tree)
            return Poison(tree.name.span)
        self._resolving.append(name)
        symbol = self._resolve(tree) or Poison(tree.name.span)
        self._resolving.pop()
        self._symbols[name] = symbol
        return symbol

    def _report_cycle(self, name: str, tree: Declared) -> None:
        if name not in self._resolving:
            self.report.error("G0211", "too many items depend on one another in a row", tree.name.span,
                              notes=(f"a chain may have {CHAIN_MAX} of them",))  # fmt: skip
            return
        chain = [*self._resolving[self._resolving.index(name) :], name]
        path = " -> ".join(f"`{link}`" for link in chain)
        what = "contains itself" if isinstance(tree, syntax.Struct) else "depends on itself"
        code = "G0312" if isinstance(tree, syntax.Struct) else "G0211"
        self.report.error(code, f"`{name}` {what}", tree.name.span, notes=(path,))

    def _resolve(self, tree: Declared) -> Symbol | None:
        match tree:
            case syntax.Const():
                return self._const(tree)
            case syntax.Enum():
                return self._enum(tree)
            case syntax.Struct():
                fields = self._fields(tree.fields)
                struct = lay_out(tree.name.name, fields, self.report, tree.name.span) if fields is not None else None
                return StructName(struct, tree.name.span) if struct else None
            case syntax.Map():
                return self._map(tree)
            case syntax.State():
                return self._state(tree)
            case syntax.Cap():
                return self._slot(tree)
            case syntax.Function():
                return self._signature(tree)

    def _fields(self, params: tuple[syntax.Param, ...]) -> list[FieldDeclaration] | None:
        types = [resolve(self, param.type) for param in params]
        if any(type_ is None for type_ in types):
            return None
        return [
            FieldDeclaration(param.name.name, type_, param.name.span)
            for param, type_ in zip(params, types, strict=True)
            if type_ is not None
        ]

    # --- constants and enums -----------------------------------------------------------------------------------------

    def _const(self, tree: syntax.Const) -> Symbol | None:
        if isinstance(tree.value, syntax.ArrayLiteral) or isinstance(tree.type, syntax.ArrayType):
            return self._table(tree)
        target: Scalar | None = None
        if tree.type is not None:
            target = resolve_scalar(self, tree.type, "a constant")
            if target is None:
                return None
        constant = constants.evaluate(self, tree.value, target)
        return ConstantName(constant, tree.name.span) if constant else None

    def _table(self, tree: syntax.Const) -> typed.ConstTable | None:
        if tree.type is not None:
            type_ = resolve(self, tree.type)
        elif isinstance(tree.value, syntax.ArrayLiteral) and tree.value.repeat is None and tree.value.elements:
            type_ = ArrayType(U64, len(tree.value.elements))
        else:
            self.report.error("G0204", "the type of this table is not clear", tree.name.span,
                              helps=(f"write `const {tree.name.name}: [u64; N] = ..`",))  # fmt: skip
            return None
        if not isinstance(type_, ArrayType):
            if type_ is not None:
                self.report.error("G0204", f"expected `{type_}`, found an array", tree.value.span)
            return None
        initial = constants.encode(self, tree.value, type_)
        if initial is None:
            return None
        return typed.ConstTable(
            tree.name.name, type_, self._place(".rodata", type_, tree.name), initial, tree.name.span
        )

    def _place(self, section: str, type_: Type, name: syntax.Ident) -> int:
        offset = self._sections[section].place(type_)
        if self._sections[section].size > limits.MAP_VALUE_BYTES:
            what = "tables" if section == ".rodata" else "state variables"
            self.report.error("G0311", f"the {what} have more than {limits.MAP_VALUE_BYTES} bytes together", name.span,
                              f"{self._sections[section].size} bytes up to this one")  # fmt: skip
        return offset

    def _enum(self, tree: syntax.Enum) -> EnumName | None:
        before = self.report.count
        repr_ = resolve_scalar(self, tree.repr, "the representation of an enum")
        if repr_ is None:
            return None
        if not isinstance(repr_, IntType):
            self.report.error("G0204", f"an enum is represented by a number, not `{repr_}`", tree.repr.span)
            return None
        variants: dict[str, int] = {}
        by_value: dict[int, syntax.Ident] = {}
        following = 0
        for variant in tree.variants:
            value = self._variant_value(variant, following, repr_)
            if value is None:
                continue
            name = variant.name
            if name.name in variants or value in by_value:
                same = next((v.name for v in tree.variants if v.name.name == name.name), name)
                other = same if name.name in variants else by_value[value]
                what = f"`{name.name}` is declared twice" if other is same else f"`{other.name}` has this value too"
                self.report.error("G0202", what, name.span, f"{value}",
                                  labels=(Label(other.span, "the other one"),))  # fmt: skip
            variants[name.name] = value
            by_value[value] = name
            following = value + 1
        if not tree.variants:
            self.report.error("G0312", f"`{tree.name.name}` has no variants", tree.name.span)
        if self.report.count != before:
            return None
        return EnumName(EnumType(tree.name.name, repr_, tuple(variants.items())), tree.name.span)

    def _variant_value(self, variant: syntax.Variant, following: int, repr_: IntType) -> int | None:
        if variant.value is not None:
            constant = constants.evaluate(self, variant.value, repr_)
        else:
            constant = constants.fit(self, following, repr_, variant.name.span)
        return constant.value if constant else None

    # --- maps and state ----------------------------------------------------------------------------------------------

    def _map(self, tree: syntax.Map) -> typed.MapRef | None:
        before = self.report.count
        key = U64 if tree.key is None else resolve_scalar(self, tree.key, "the key of a map")
        value = resolve(self, tree.value)
        entries = constants.integer(self, tree.entries, 1, limits.MAP_ENTRIES, "the number of entries")
        if key is None or value is None or entries is None or self.report.count != before:
            return None
        kind = MapKind.ARRAY if tree.key is None else MapKind.HASH
        spec = MapSpec(
            name=tree.name.name,
            kind=kind,
            key_size=ARRAY_KEY_BYTES if kind is MapKind.ARRAY else key.size,
            value_size=value.size,
            max_entries=entries,
            key_type="u32" if kind is MapKind.ARRAY else str(key),
            value_type=str(value),
        )
        return typed.MapRef(tree.name.name, self._map_numbers[tree.name.name], key, value, spec, tree.name.span)

    def _state(self, tree: syntax.State) -> typed.StateVariable | None:
        type_ = resolve(self, tree.type)
        if type_ is None:
            return None
        initial = bytes(type_.size)
        if tree.value is not None:
            encoded = constants.encode(self, tree.value, type_)
            if encoded is None:
                return None
            initial = encoded
        section = ".data" if any(initial) else ".bss"
        offset = self._place(section, type_, tree.name)
        return typed.StateVariable(tree.name.name, type_, offset, section, initial, tree.name.span)

    # --- capabilities, protocols, functions --------------------------------------------------------------------------

    def _slot(self, tree: syntax.Cap) -> SlotName | None:
        protocol = self.protocol(tree.protocol)
        if protocol is None:
            return None
        spec = SlotSpec(tree.name.name, protocol.spec, grant=tree.grant)
        return SlotName(self._slot_numbers[tree.name.name], spec, protocol, tree.name.span)

    def protocol(self, name: syntax.Ident) -> ProtocolLayout | None:
        """Return the protocol of this name, reporting it if there is none."""
        if name.name not in self._protocol_trees:
            self.report.error("G0203", f"there is no protocol `{name.name}`", name.span, "not found",
                              helps=suggest(name.name, self._protocol_trees))  # fmt: skip
            return None
        if name.name not in self._protocols:
            self._protocols[name.name] = self._protocol(self._protocol_trees[name.name])
        return self._protocols[name.name]

    def _protocol(self, tree: syntax.Protocol) -> ProtocolLayout:
        before = self.report.count
        ops: dict[str, OpLayout] = {}
        for number, op in enumerate(tree.ops):
            if op.name.name in ops:
                self._complain_if_again(op.name, next(o.name for o in tree.ops if o.name.name == op.name.name), True)
                continue
            ops[op.name.name] = self._op(tree.name.name, op, number)
        spec = ProtocolSpec(tree.name.name, tuple(op.spec for op in ops.values()))
        return ProtocolLayout(spec, ops, self.report.count == before, tree.name.span)

    def _op(self, protocol: str, tree: syntax.Op, number: int) -> OpLayout:
        reply = self._reply(tree)
        shape, body = self._request(f"{protocol}.{tree.name.name}", tree)
        least, most = (0, limits.BODY_BYTES) if shape == "raw" else (body.size, body.size) if body else (0, 0)
        spec = OpSpec(tree.name.name, number, least, most, str(reply) if reply else "", reply.size if reply else 0)
        return OpLayout(spec, shape, body, reply, tree.name.span)

    def _reply(self, tree: syntax.Op) -> StructType | None:
        reply = resolve(self, tree.reply) if tree.reply is not None else None
        if reply is None or isinstance(reply, StructType):
            return reply
        assert tree.reply is not None
        self.report.error("G0204", f"a reply is a struct, not `{reply}`", tree.reply.span,
                          helps=(f"declare `struct Reply {{ value: {reply} }}` and use that",))  # fmt: skip
        return None

    def _request(self, name: str, tree: syntax.Op) -> tuple[str, StructType | None]:
        if tree.raw:
            return "raw", None
        if not tree.params:
            return "none", None
        fields = self._fields(tree.params)
        if fields is None:
            return "fields", None
        if len(fields) == 1 and isinstance(fields[0].type, StructType):
            return "struct", fields[0].type
        for param, field in zip(tree.params, fields, strict=True):
            if isinstance(field.type, StructType):
                self.report.error(
                    "G0313",
                    "a struct must be the only parameter of an operation",
                    param.span,
                    notes=("it is then the whole body; other parameters belong into the struct",),
                )
                return "fields", None
        return "fields", lay_out(name, fields, self.report, tree.name.span)

    def _signature(self, tree: syntax.Function) -> FunctionName:
        before = self.report.count
        params = tuple(self._parameter(param) for param in tree.params)
        seen: dict[str, syntax.Ident] = {}
        for param in tree.params:
            first = seen.setdefault(param.name.name, param.name)
            self._complain_if_again(param.name, first, first is not param.name)
        result = resolve_scalar(self, tree.result, "the result of a function") if tree.result is not None else None
        sound = self.report.count == before and None not in params
        sound = sound and (result is not None or tree.result is None)
        return FunctionName(tree.name.name, params, result, sound, tree, tree.name.span)

    def _parameter(self, param: syntax.Param) -> Scalar | None:
        type_ = resolve(self, param.type)
        if type_ is None:
            return None
        if isinstance(type_, IntType | BoolType | EnumType):
            return type_
        if local_type(self, type_, param.type.span) is not None:
            self.report.error("G0313", "a parameter is a number, a bool or an enum", param.type.span,
                              helps=("make the array a `state` variable, which every function can use",))  # fmt: skip
        return None

    # --- everything --------------------------------------------------------------------------------------------------

    def resolve_all(self) -> None:
        """Resolve every item, so that each error in one is reported, and check what they add up to."""
        for name in self._protocol_trees:
            self.protocol(self._protocol_trees[name].name)
        for name in self._trees:
            self.find(name)
        for item in self._tree.items:
            if isinstance(item, syntax.Serve):
                self._serve(item)
        self._check_total(syntax.Cap, limits.CAPABILITY_SLOTS, "capability slots")
        self._check_total(syntax.Map, limits.PROGRAM_MAPS - len(self._sections), "maps")
        self._check_memory()

    def _serve(self, tree: syntax.Serve) -> None:
        protocol = self.protocol(tree.protocol)
        if protocol is None:
            return
        if protocol in self.serves:
            self.report.error("G0202", f"`{tree.protocol.name}` is served twice", tree.protocol.span)
            return
        self.serves.append(protocol)

    def _check_total(self, kind: type[Declared], most: int, what: str) -> None:
        names = self.names_of(kind)
        if len(names) > most:
            self.report.error("G0311", f"a graft has at most {most} {what}", self._trees[names[most]].name.span,
                              f"there are {len(names)}")  # fmt: skip

    def _check_memory(self) -> None:
        total = 0
        for map_ in self.maps():
            total += map_.spec.max_entries * (map_.spec.key_size + map_.spec.value_size)
            if total > limits.MAP_TOTAL_BYTES:
                self.report.error("G0311", f"the maps have more than {limits.MAP_TOTAL_BYTES} bytes together",
                                  map_.span, f"{total} bytes up to this one")  # fmt: skip
                return

    def _found(self) -> list[Symbol]:
        return [self._symbols[name] for name in self._trees if name in self._symbols]

    def maps(self) -> list[typed.MapRef]:
        """Return the maps, by number."""
        return [symbol for symbol in self._found() if isinstance(symbol, typed.MapRef)]

    def states(self) -> list[typed.StateVariable]:
        """Return the state variables in order of declaration."""
        return [symbol for symbol in self._found() if isinstance(symbol, typed.StateVariable)]

    def tables(self) -> list[typed.ConstTable]:
        """Return the constant tables in order of declaration."""
        return [symbol for symbol in self._found() if isinstance(symbol, typed.ConstTable)]

    def slots(self) -> list[SlotName]:
        """Return the slots, by number."""
        return [symbol for symbol in self._found() if isinstance(symbol, SlotName)]

    def functions(self) -> list[FunctionName]:
        """Return the functions in order of declaration."""
        return [symbol for symbol in self._found() if isinstance(symbol, FunctionName)]

    def protocols(self) -> list[ProtocolLayout]:
        """Return the protocols in order of declaration."""
        return [self._protocols[name] for name in self._protocol_trees if name in self._protocols]

    def types(self) -> dict[str, Type]:
        """Return the structs and enums by name."""
        found: dict[str, Type] = {}
        for symbol in self._found():
            if isinstance(symbol, StructName | EnumName):
                found[symbol.type.name] = symbol.type
        return found
