"""Maps in objects: the section `.maps`, whose variables say everything by their BTF types.

    struct {                               in libbpf's macros
        int (*type)[1];                    __uint(type, BPF_MAP_TYPE_HASH)
        __u64 *key;                        __type(key, __u64)         or __uint(key_size, 8)
        struct node *value;                __type(value, struct node) or __uint(value_size, 64)
        int (*max_entries)[1024];          __uint(max_entries, 1024)
    } nodes SEC(".maps");

Types are all that BTF has, so a number is the length of an array. What is not understood is refused (G0532), never
guessed: a map of another shape than its writer meant would be a wrong program that verifies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grafting import limits
from grafting.objects import btf
from grafting.objects.btf import Btf, Composite, DataSection, Kind, Member, Reference, Variable
from grafting.objects.btf_describe import Descriptions
from grafting.objects.elf import Elf, Where
from grafting.program import MapKind, MapSpec

SECTION: Final = ".maps"
_KINDS: Final = {1: MapKind.HASH, 2: MapKind.ARRAY}  # BPF_MAP_TYPE_*
_KIND_NUMBERS: Final = {kind: number for number, kind in _KINDS.items()}
_NO_PREALLOC, _RDONLY_PROG = 0x01, 0x80  # BPF_F_*: how memory is got is not our business; programs may not write
_NUMBERS: Final = frozenset({"type", "max_entries", "key_size", "value_size", "map_flags"})
_ARRAY_KEYS: Final = frozenset({4, 8})
_POINTER_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Definitions:
    """The maps in `.maps` as (byte, map) in order of address, and the structs and enums that they hold by name."""

    maps: tuple[tuple[int, MapSpec], ...] = ()
    types: Mapping[str, Any] = field(default_factory=dict)


def read(elf: Elf, types: Btf | None) -> Definitions:
    """Return the maps of an object. Raises GraftError: G0526 too many, G0532 not understood."""
    section = elf.named(SECTION)
    if section is None or not section.size:
        return Definitions()
    where = elf.where(section)
    if types is None:
        raise where.error("G0532", "maps are described by BTF and the object has none",
                          helps=("compile with `-g`",))  # fmt: skip
    if elf.relocations.get(section.number):
        raise where.error("G0532", "maps of maps and other values in a definition are not supported")
    symbols = [s for s in elf.symbols if s.section == section.number and s.name and s.size]
    if len(symbols) > limits.PROGRAM_MAPS:
        raise where.error("G0526", f"{len(symbols)} maps, at most {limits.PROGRAM_MAPS}")
    variables = _variables(types)
    described = Descriptions(types)
    found = [
        (symbol.value, _definition(elf.where(section, symbol.value), symbol.name, variables, types, described))
        for symbol in sorted(symbols, key=lambda symbol: symbol.value)
    ]
    return Definitions(tuple(found), described.found)


def _variables(types: Btf) -> dict[str, int]:
    """Return the type number of each variable that BTF puts into `.maps`."""
    section = types.data_section(SECTION)
    found = [types.type(number) for number, _, _ in section.variables] if section else []
    return {variable.name: variable.type for variable in found if isinstance(variable, Variable)}


def _definition(where: Where, name: str, variables: Mapping[str, int], types: Btf, described: Descriptions) -> MapSpec:
    shape = types.resolve(variables.get(name, 0))
    if not isinstance(shape, Composite) or shape.kind is not Kind.STRUCT:
        raise where.error("G0532", f"map `{name}`: no struct in BTF describes it")
    return _Definition(types, described, name, where).spec(shape)


class _Definition:
    """Reads the members of one map's struct."""

    def __init__(self, types: Btf, described: Descriptions, name: str, where: Where) -> None:
        self.types, self.described, self.name, self.where = types, described, name, where

    def error(self, message: str) -> Exception:
        return self.where.error("G0532", f"map `{self.name}`: {message}")

    def spec(self, shape: Composite) -> MapSpec:
        numbers: dict[str, int] = {}
        sizes: dict[str, tuple[int, str]] = {}  # of "key" and "value": bytes, type name
        for member in shape.members:
            if member.name in _NUMBERS:
                numbers[member.name] = self.number(member)
            elif member.name in ("key", "value"):
                sizes[member.name] = self.pointee(member)
            else:
                raise self.error(f"`{member.name}` is not supported in a map's definition")
        kind = _KINDS.get(numbers.get("type", 0))
        if kind is None:
            raise self.error(f"map type {numbers.get('type', 0)}; hash (1) and array (2) are supported")
        key_size, key_type = self.size(numbers, sizes, "key", limits.MAP_KEY_BYTES)
        value_size, value_type = self.size(numbers, sizes, "value", limits.MAP_VALUE_BYTES)
        entries, flags = numbers.get("max_entries", 0), numbers.get("map_flags", 0)
        if not 0 < entries <= limits.MAP_ENTRIES:
            raise self.error(f"max_entries {entries}, 1 to {limits.MAP_ENTRIES} are allowed")
        if kind is MapKind.ARRAY and key_size not in _ARRAY_KEYS:
            raise self.error(f"the key of an array has 4 or 8 bytes, not {key_size}")
        if flags & ~(_NO_PREALLOC | _RDONLY_PROG):
            raise self.error(f"map_flags {flags:#x}; BPF_F_NO_PREALLOC and BPF_F_RDONLY_PROG are supported")
        return MapSpec(
            self.name, kind, key_size, value_size, entries,
            read_only=bool(flags & _RDONLY_PROG), key_type=key_type, value_type=value_type,
        )  # fmt: skip

    def number(self, member: Member) -> int:
        """Return N of a member `int (*name)[N]`."""
        pointer = self.types.resolve(member.type)
        array = self.types.resolve(pointer.to) if isinstance(pointer, Reference) else None
        if not isinstance(array, btf.Array):
            raise self.error(f"`{member.name}` is not of the form `int (*)[N]`")
        return array.count

    def pointee(self, member: Member) -> tuple[int, str]:
        """Return size and name of T of a member `T *name`."""
        pointer = self.types.resolve(member.type)
        size = self.types.size(pointer.to) if isinstance(pointer, Reference) else None
        if size is None or not isinstance(pointer, Reference):
            raise self.error(f"`{member.name}` is not a pointer to a type with a size")
        return size, self.described.text(pointer.to)

    def size(self, numbers: dict[str, int], sizes: dict[str, tuple[int, str]], part: str, most: int) -> tuple[int, str]:
        """Return bytes and type name of key or value, which may be given either way, or both alike."""
        by_number = numbers.get(f"{part}_size")
        size, name = sizes.get(part, (by_number, ""))
        if size is None or (by_number is not None and by_number != size):
            raise self.error(f"`{part}` and `{part}_size` do not say the size of a {part}")
        if not 0 < size <= most:
            raise self.error(f"a {part} of {size} bytes, 1 to {most} are allowed")
        return size, name


def write(maps: Sequence[MapSpec], types: list[btf.Type]) -> None:
    """Add the definitions of `maps` to `types`, sizes as numbers, for variables one behind the other in `.maps`."""

    def add(type_: btf.Type) -> int:
        types.append(type_)
        return len(types)

    integer = add(btf.Int("int", 4, 1, 32))
    variables = []
    offset = 0
    for spec in maps:
        numbers = definition(spec)
        members = []
        for index, (name, value) in enumerate(numbers.items()):
            pointer = add(Reference(Kind.POINTER, add(btf.Array(integer, integer, value))))
            members.append(Member(name, pointer, index * _POINTER_BYTES * 8))
        size = len(numbers) * _POINTER_BYTES
        shape = add(Composite(Kind.STRUCT, "", size, tuple(members)))
        variables.append((add(Variable(spec.name, shape)), offset, size))
        offset += size
    if variables:
        add(DataSection(SECTION, offset, tuple(variables)))


def definition(spec: MapSpec) -> dict[str, int]:
    """Return the numbers that define a map, by member name."""
    numbers = {
        "type": _KIND_NUMBERS[spec.kind],
        "key_size": spec.key_size,
        "value_size": spec.value_size,
        "max_entries": spec.max_entries,
    }
    return numbers | {"map_flags": _RDONLY_PROG} if spec.read_only else numbers


def variable_bytes(spec: MapSpec) -> int:
    """Return the bytes that the variable of a map fills in `.maps`."""
    return len(definition(spec)) * _POINTER_BYTES
