"""Programs and what the verifier says of them: tests/cases/verifier_*.yaml, whose first lines give the form.

Those with a reply hook have maps 0 `wanted` (hash, u64 -> u64), 1 `table` (array of 4, 16 bytes), 2 `.rodata` (16
bytes: 7 at 8) and 3 `.bss` (16 bytes), and slots 0 `disk` (read: 8 bytes, write: 0 to 4096), 1 `mute` (no right to
send) and 2 `spare` (may be given away).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import verifier
from grafting import Program, hooks
from grafting.assembly import assembler
from grafting.program import Handler, MapKind, MapSpec, OpSpec, ProtocolSpec, SlotSpec

CASES = Path(__file__).parent / "cases"
FILES = ("memory", "pointers", "helpers", "costs", "limits", "cve", "links", "names")
ALL = [(file, case) for file in FILES for case in yaml.safe_load((CASES / f"verifier_{file}.yaml").read_text())]

BLOCK = ProtocolSpec("block", (OpSpec("read", 0, 8, 8), OpSpec("write", 1, 0, 4096)))
MAPS = (
    MapSpec("wanted", MapKind.HASH, 8, 8, 64),
    MapSpec("table", MapKind.ARRAY, 4, 16, 4),
    MapSpec(".rodata", MapKind.ARRAY, 4, 16, 1, initial=bytes(8) + (7).to_bytes(8, "little"), read_only=True),
    MapSpec(".bss", MapKind.ARRAY, 4, 16, 1),
)
SLOTS = (SlotSpec("disk", BLOCK), SlotSpec("mute", BLOCK, send=False), SlotSpec("spare", BLOCK, grant=True))


def program(case: dict[str, Any]) -> Program:
    name, _, size = case["hook"].partition(":")
    hook = getattr(hooks, name)(int(size)) if size else hooks.GRAFT_HOOKS[name]
    handler = Handler(name, hook, assembler.assemble(case["code"]), maps=len(MAPS))
    return Program("case", (handler,), MAPS, SLOTS)


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{file}: {case['name']}") for file, case in ALL])
def test_case(case: dict[str, Any]) -> None:
    if "error" not in case:
        bounds = verifier.verify(program(case)).bounds
        assert {name: getattr(bounds, name) for name in case.get("bounds", {})} == case.get("bounds", {})
        return
    with pytest.raises(verifier.Rejected) as caught:
        verifier.verify(program(case))
    first = caught.value.diagnostics[0]
    assert first.code == case["error"], (first.message, first.notes)
    assert case.get("says", "") in "\n".join((first.message, *first.notes))
