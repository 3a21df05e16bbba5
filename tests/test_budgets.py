"""A budget is a contract: the proven bound is held against it, at its place, and is the least that satisfies it."""

from __future__ import annotations

import pytest

import grafting
import verifier

TEXT = """graft g
protocol p {{ op write(bytes) }}
cap disk: p
on reply(msg) budget {budget} {{
    send disk.write(msg.body[..]) else {{ return deliver }}
    return consume
}}
"""


def bounds() -> dict[str, int]:
    b = verifier.verify(grafting.compile_graft(TEXT.format(budget="10_000 insns"))).bounds
    return {"insns": b.instructions, "sends": b.sends, "bytes": b.bytes_sent}


@pytest.mark.parametrize("unit", ["insns", "sends", "bytes"])
def test_the_bound_itself_is_enough_and_one_less_is_not(unit: str) -> None:
    bound = bounds()[unit]
    assert bound > 0
    verifier.verify(grafting.compile_graft(TEXT.format(budget=f"{bound} {unit}")))
    with pytest.raises(verifier.Rejected) as caught:
        verifier.verify(grafting.compile_graft(TEXT.format(budget=f"{bound - 1} {unit}")))
    diagnostic = caught.value.diagnostics[0]
    assert diagnostic.code == "G0620"
    assert str(bound) in diagnostic.message
    assert diagnostic.primary.span.line == 4


def test_each_part_of_a_budget_is_judged() -> None:
    with pytest.raises(verifier.Rejected) as caught:
        verifier.verify(grafting.compile_graft(TEXT.format(budget="1 insns, 0 sends, 0 bytes")))
    assert [d.code for d in caught.value.diagnostics] == ["G0620"] * 3
