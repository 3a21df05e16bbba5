"""Native handlers do what the interpreter does: contexts, frames, regions, maps, helpers that leave and come back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from machines import MAPS, graft

import jit
import verifier
from grafting import hooks
from grafting.program import MapKind, MapSpec


def same(text: str, message: jit.Message | None = None, *, fill: int = 4, hook: str = "reply") -> jit.Activation:
    """Run a handler in the interpreter and natively, both ways; assert that all agrees, and return what they say."""
    subject = verifier.verify(graft({hook: text}, maps=MAPS))
    engine = jit.compile_native(subject)
    given = message or jit.Message(tag=3, badge=9, op=1, status=-5, body=bytes(range(64)))
    seen = []
    for way in ("python", "native", "many"):
        state = jit.GraftState(subject)
        for key in range(fill):
            state.maps["wanted"][key] = 100 + key
            state.maps["other"][key + 1] = 200 + key
            state.maps["table"][key % 4] = 300 + key
        if way == "many":
            done = jit.activate_many(engine, hook, jit.Batch.of([given] * 3, hook), state, clock=12345)
            assert set(done.verdicts.tolist()) == {seen[-1][0].verdict} or fill  # the maps may have changed meanwhile
            asked = done.effects.get(0)
            assert (asked.outbox if asked else ()) == seen[-1][0].outbox
            continue
        result = jit.activate(subject if way == "python" else engine, hook, given, state, clock=12345)
        seen.append((replace(result, cost=replace(result.cost, stack_bytes=0)), result.cost.by_class, state.snapshot()))
    assert seen[0] == seen[1]
    return seen[1][0]


def test_the_context_is_as_the_interpreter_shows_it() -> None:
    text = ["r6 = 0"]
    for field in hooks.GRAFT_CONTEXT[2:]:
        text += [f"r2 = *(u{8 * field.size} *)(r1 + {field.offset})", "r6 *= 31", "r6 += r2"]
    text += ["*(u64 *)(r10 - 8) = r6", "r3 = r6", "r1 = 0", "r2 = 0", "r4 = r10", "r4 += -8", "r5 = 8", "call 1000"]
    done = same("\n".join([*text, "r0 = 0", "exit"]))
    assert done.outbox[0].body == done.outbox[0].tag.to_bytes(8, "little")


def test_addresses_are_those_of_the_interpreter() -> None:
    text = """
        r2 = *(u64 *)(r1 + 0)
        r3 = *(u64 *)(r1 + 8)
        r4 = r3
        r4 -= r2
        *(u64 *)(r10 - 8) = r4
        r4 = r10
        r4 += -512
        r3 = 1
        if r4 > r10 goto L
        r3 = 2
        if r4 != 0 goto L
        r3 = 3
    L:
        r1 = 0
        r2 = 0
        r4 = r10
        r4 += -8
        r5 = 8
        call 1000
        r0 = 0
        exit
    """
    done = same(text)
    assert (done.outbox[0].tag, done.outbox[0].body[0]) == (2, 64)


RESUMING = """
    r6 = 11
    r7 = 22
    r8 = 33
    r9 = *(u64 *)(r1 + 24)
    *(u64 *)(r10 - 8) = 55
    r1 = r10
    r1 += -8
    call outer
    r6 += r7
    r6 += r8
    r6 += r9
    r6 += r0
    r1 = *(u64 *)(r10 - 8)
    r6 += r1
    r1 = 0
    r2 = 0
    r3 = r6
    r4 = r10
    r4 += -8
    r5 = 8
    call 1000
    r0 = 0
    exit
outer:
    r6 = r1
    r7 = 66
    *(u64 *)(r10 - 16) = 77
    r1 = r10
    r1 += -16
    r2 = r6
    call inner
    r0 += r7
    r1 = *(u64 *)(r6 + 0)
    r0 += r1
    exit
inner:
    r6 = r1
    r7 = r2
    r9 = 1
    *(u64 *)(r10 - 8) = 88
    r1 = 0
    r2 = 0
    r3 = 1
    r4 = r10
    r4 += -8
    r5 = 8
    call 1000
    r8 = r0
    r1 = 0
    r2 = 0
    r3 = 2
    r4 = r6
    r5 = 8
    call 1000
    r8 += r0
    r1 = 0
    r2 = 0
    r3 = 3
    r4 = r7
    r5 = 8
    call 1000
    r8 += r0
    r1 = 5
    r2 = 1000
    call 1004
    *(u64 *)(r7 + 0) = 99
    r0 = r8
    exit
"""


def test_helpers_called_in_a_callee_find_every_frame_and_the_registers_of_all_are_kept() -> None:
    done = same(RESUMING)
    assert [(send.tag, send.body[0]) for send in done.outbox] == [
        (1, 88), (2, 77), (3, 55), (11 + 22 + 33 + 9 + 66 + 99 + 99, 99),
    ]  # fmt: skip
    assert done.timers == (jit.Armed(5, 1000),)


def test_resuming_works_again_after_an_activation_that_ended_otherwise() -> None:
    text = f"r2 = *(u64 *)(r1 + 16)\nif r2 == 3 goto go\nr0 = 1\nexit\ngo:\n{RESUMING}"
    subject = verifier.verify(graft({"submit": "r0 = 0\nexit", "reply": text}, maps=MAPS))
    engine, state = jit.compile_native(subject), jit.GraftState(subject)
    for tag, verdict, sends in ((3, 0, 4), (4, 1, 0), (3, 0, 4), (4, 1, 0)):
        done = jit.activate(engine, "reply", jit.Message(tag=tag), state)
        assert (done.verdict, len(done.outbox)) == (verdict, sends)


def test_one_function_called_at_several_depths_reads_what_it_was_given_each_time() -> None:
    text = """
        r6 = r1
        *(u64 *)(r10 - 8) = 5
        r1 = r10
        r1 += -8
        call read
        r7 = r0
        r1 = r6
        r1 += 16
        call read
        r7 *= 1000
        r7 += r0
        r1 = r6
        call between
        r7 *= 1000
        r7 += r0
        r1 = 0
        r2 = 0
        r3 = r7
        r4 = r10
        r4 += -8
        r5 = 8
        call 1000
        r0 = 0
        exit
    between:
        *(u64 *)(r10 - 16) = 7
        r1 = r10
        r1 += -16
        call read
        exit
    read:
        r0 = *(u64 *)(r1 + 0)
        exit
    """
    assert same(text).outbox[0].tag == 5_003_007


@pytest.mark.parametrize("tag", [0, 1, 2, 3, 4, 70])
def test_one_access_that_may_reach_several_regions(tag: int) -> None:
    text = """
        r6 = *(u64 *)(r1 + 16)
        r7 = r1
        r7 += 24
        *(u64 *)(r10 - 8) = 5
        *(u64 *)(r10 - 16) = r6
        if r6 == 0 goto use
        r7 = r10
        r7 += -8
        if r6 == 1 goto use
        r7 = map_value 3 ll
        if r6 == 2 goto use
        r2 = r10
        r2 += -16
        r1 = map 0 ll
        if r6 == 3 goto find
        r1 = map 1 ll
    find:
        call 1
        if r0 == 0 goto none
        r7 = r0
    use:
        r3 = *(u64 *)(r7 + 0)
        r1 = 0
        r2 = 0
        r4 = r10
        r4 += -8
        r5 = 8
        call 1000
        r0 = 0
        exit
    none:
        r0 = 1
        exit
    """
    done = same(text, jit.Message(tag=tag, badge=9))
    assert [send.tag for send in done.outbox] == {0: [9], 1: [5], 2: [0], 3: [103], 4: [203], 70: []}[tag]


UPDATES = """
    r6 = *(u64 *)(r1 + 16)
    r7 = r6
    *(u64 *)(r10 - 8) = r6
    *(u64 *)(r10 - 16) = 500
    r1 = map MAP ll
    r2 = r10
    r2 += -8
    r3 = r10
    r3 += -16
    r4 = FLAGS
    call 2
    r8 = r0
    r1 = map MAP ll
    r2 = r10
    r2 += -8
    call 1
    if r0 == 0 goto none
    r7 = *(u64 *)(r0 + 0)
none:
    r1 = map MAP ll
    r2 = r10
    r2 += -8
    call 3
    r8 *= 1000
    r8 += r0
    r8 *= 1000
    r8 += r7
    r1 = 0
    r2 = 0
    r3 = r8
    r4 = r10
    r4 += -8
    r5 = 8
    call 1000
    r0 = 0
    exit
"""


@pytest.mark.parametrize("map_", [0, 1, 2])
@pytest.mark.parametrize("flags", [0, 1])
@pytest.mark.parametrize("tag", [0, 2, 50])
def test_map_helpers_give_what_the_interpreter_gives(map_: int, flags: int, tag: int) -> None:
    same(UPDATES.replace("MAP", str(map_)).replace("FLAGS", str(flags)), jit.Message(tag=tag))


def test_keys_and_values_may_lie_in_the_map_that_is_changed() -> None:
    text = """
        r6 = *(u64 *)(r1 + 16)
        *(u64 *)(r10 - 8) = r6
        r1 = map 0 ll
        r2 = r10
        r2 += -8
        call 1
        if r0 == 0 goto out
        r7 = r0
        r1 = map 0 ll
        r2 = r7
        r3 = r7
        r4 = 0
        call 2
        r1 = map 0 ll
        r2 = r7
        call 3
        r1 = map 4 ll
        r2 = r7
        r3 = map_value 3 ll
        r3 = r10
        r3 += -32
        *(u64 *)(r10 - 16) = 1
        *(u64 *)(r10 - 24) = 2
        *(u64 *)(r10 - 32) = 3
        r4 = 0
        call 2
        r8 = map_value 3 ll
        lock *(u64 *)(r8 + 8) += r6
        r9 = 5
        r9 = atomic_fetch_add((u64 *)(r8 + 8), r9)
        r0 = r9
        r0 &= 1
        exit
    out:
        r0 = 1
        exit
    """
    assert same(text, jit.Message(tag=3)).verdict == 1


def test_an_array_with_an_eight_byte_key_and_a_full_hash_map() -> None:
    maps = (MapSpec("far", MapKind.ARRAY, 8, 8, 5), MapSpec("small", MapKind.HASH, 12, 20, 3))
    text = """
        r6 = *(u64 *)(r1 + 16)
        r9 = 0
        r8 = 0
    again:
        *(u64 *)(r10 - 24) = r8
        *(u64 *)(r10 - 16) = r6
        *(u64 *)(r10 - 8) = r8
        r1 = map 0 ll
        r2 = r10
        r2 += -24
        r3 = r10
        r3 += -16
        r4 = 0
        call 2
        r9 *= 7
        r9 += r0
        r1 = map 1 ll
        r2 = r10
        r2 += -24
        r3 = r10
        r3 += -24
        r4 = 0
        call 2
        r9 *= 7
        r9 += r0
        r8 += 1
        if r8 < 9 goto again
        r0 = r9
        r0 &= 1
        exit
    """
    subject = verifier.verify(graft({"reply": text}, maps=maps))
    seen = []
    for engine in ("python", "native"):
        state = jit.GraftState(subject, seed=99)
        done = jit.activate(subject, "reply", jit.Message(tag=7), state, engine=engine)
        seen.append((done.verdict, state.snapshot(), done.cost.by_class, done.cost.helpers))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("length", [0, 1, 7, 8, 31])
def test_copy_and_fill_reach_as_far_as_they_are_told(length: int) -> None:
    text = """
        r6 = *(u64 *)(r1 + 16)
        if r6 > 32 goto out
        *(u64 *)(r10 - 8) = 1
        *(u64 *)(r10 - 16) = 2
        *(u64 *)(r10 - 24) = 3
        *(u64 *)(r10 - 32) = 4
        *(u64 *)(r10 - 40) = 5
        r1 = r10
        r1 += -40
        r2 = r10
        r2 += -32
        r3 = r6
        call 1008
        r1 = r10
        r1 += -33
        r2 = 0x1ff
        r3 = r6
        call 1009
        r1 = 0
        r2 = 1
        r3 = 0
        r4 = r10
        r4 += -40
        r5 = 40
        call 1000
    out:
        r0 = 0
        exit
    """
    assert len(same(text, jit.Message(tag=length)).outbox[0].body) == 40
