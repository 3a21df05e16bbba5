"""A plan says where every byte of a request comes from; carried out over the data it gives every reply."""

from __future__ import annotations

import pytest

from grafting.diagnostics import InternalError
from kernel_model.serving import Reply
from kernel_model.workloads.plan import Computed, Literal, Part, Plan, Step, Whole, carry_out, chain
from kernel_model.workloads.roles import READ, Role, blocks

CELLS = b"".join(next_.to_bytes(8, "little") + bytes([number] * 8) for number, next_ in enumerate((2, 9, 1)))
STORE = Role("store", blocks(CELLS, 16), 0)


def serve(_role: str, op: int, body: bytes) -> Reply:
    return STORE.answer(op, body)


def word(value: int) -> bytes:
    return value.to_bytes(8, "little")


def test_a_chain_passes_bytes_of_each_reply_to_the_next_step() -> None:
    plan = chain("store", READ, Literal(), lambda step: Part(step, 0, 8), 3)
    replies = carry_out(plan, (word(0),), serve)
    assert [reply and reply.body[8:] for reply in replies] == [bytes([n] * 8) for n in (0, 2, 1)]
    assert (plan.depth, plan.computed, plan.independent) == (3, False, False)


def test_what_needs_a_failed_step_does_not_begin() -> None:
    plan = chain("store", READ, Literal(), lambda step: Part(step, 0, 8), 4)
    first, second, *rest = carry_out(plan, (word(1),), serve)
    assert first is not None
    assert second == Reply(-22, b"")
    assert rest == [None, None]


def test_steps_that_need_nothing_do_not_depend_on_one_another() -> None:
    plan = Plan(tuple(Step("store", READ, Literal(column)) for column in range(3)), enough=2)
    replies = carry_out(plan, (word(9), word(1), word(2)), serve)
    assert [reply and reply.status for reply in replies] == [-22, 0, 0]
    assert (plan.depth, plan.independent) == (1, True)


def test_a_step_waits_for_what_it_is_after_and_for_its_source() -> None:
    assert Step("store", READ, Whole(3), after=(1, 3)).needs == (1, 3)
    assert Step("store", READ, Literal(1), after=(2,)).needs == (2,)


def test_a_computed_step_cannot_be_carried_out_without_the_program() -> None:
    plan = chain("store", READ, Literal(), Computed, 2)
    assert plan.computed
    with pytest.raises(InternalError):
        carry_out(plan, (word(0),), serve)
