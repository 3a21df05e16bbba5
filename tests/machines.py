"""Small programs for the tests of the engines, in assembly, without the compiler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafting import hooks
from grafting.assembly import assembler
from grafting.isa import Instruction, encode
from grafting.program import Handler, MapKind, MapSpec, OpSpec, Program, ProtocolSpec, SlotSpec, TestCase

BLOCK = ProtocolSpec("block", (OpSpec("read", 0, 8, 8, "Node", 512), OpSpec("write", 1, 0, 4096)))
KV = ProtocolSpec("kv", (OpSpec("get", 0, 8, 8), OpSpec("put", 1, 16, 16)))
DISK = SlotSpec("disk", BLOCK)
WANTED = MapSpec("wanted", MapKind.HASH, 8, 8, 64, key_type="u64", value_type="u64")
TABLE = MapSpec("table", MapKind.ARRAY, 4, 8, 4, key_type="u32", value_type="u64")
BSS = MapSpec(".bss", MapKind.ARRAY, 4, 16, 1)
WIDE = MapSpec("wide", MapKind.HASH, 8, 24, 64)
OTHER = MapSpec("other", MapKind.HASH, 8, 8, 64)
MAPS = (WANTED, OTHER, TABLE, BSS, WIDE)
ENGINES = ("python", "numba")


def words(*values: int, size: int) -> bytes:
    return b"".join(value.to_bytes(8, "little") for value in values).ljust(size, b"\0")


def raw(text: str, size: int = 0, *, writable: bool = True) -> Program:
    return Program.from_assembly(text, hooks.raw_memory(size, writable=writable))


def raw_code(code: Sequence[Instruction], size: int = 0) -> Program:
    return Program.from_bytecode(encode(code), hooks.raw_memory(size))


def graft(
    handlers: Mapping[str, str],
    *,
    maps: Sequence[MapSpec] = (),
    slots: Sequence[SlotSpec] = (DISK,),
    serves: Sequence[ProtocolSpec] = (KV,),
    tests: Sequence[TestCase] = (),
) -> Program:
    """Return a graft; `handlers` maps names ("reply/disk.read") to assembly."""
    made = []
    for name, text in handlers.items():
        event, _, selector = name.partition("/")
        code = assembler.assemble(text)
        made.append(Handler(name, hooks.GRAFT_HOOKS[event], code, selector, maps=len(maps)))
    return Program("sample", tuple(made), tuple(maps), tuple(slots), tuple(serves), tuple(tests))
