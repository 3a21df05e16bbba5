"""An activation does what its handler asks, all of it or nothing."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from machines import BSS, DISK, ENGINES, KV, TABLE, WANTED, graft

import jit
import verifier
from grafting import GraftError, InternalError, Program, hooks, limits
from grafting.costs import CostVector
from grafting.hooks import Event
from grafting.program import ProtocolSpec, SlotSpec
from jit.effects import EAGAIN, EBADF, EINVAL, ENOENT, EPERM
from jit.faults import FaultKind

DELIVER = "r0 = 0\nexit\n"


def run(text: str, message: jit.Message | None = None, *, event: str = "reply", **more: object) -> jit.Activation:
    program = graft({event: text}, maps=[WANTED, TABLE])
    return jit.activate(program, event, message or jit.Message(), jit.GraftState(program), **more)  # type: ignore[arg-type]


def result(text: str, message: jit.Message | None = None, *, event: str = "timer", **more: object) -> int:
    """Return what `text` leaves in r0, signed: it is stored into the map and read from there."""
    program = graft(
        {event: f"r6 = r1\n{text}*(u64 *)(r10 - 16) = r0\n*(u32 *)(r10 - 4) = 0\nr1 = map 0 ll\nr2 = r10\nr2 += -4\n"
                "r3 = r10\nr3 += -16\nr4 = 0\ncall 2\nr0 = 0\nexit\n"},
        maps=[TABLE],
        slots=[DISK, SlotSpec("peer", KV, grant=True), SlotSpec("mute", KV, send=False)],
    )  # fmt: skip
    state = jit.GraftState(program)
    done = jit.activate(program, event, message or jit.Message(), state, **more)  # type: ignore[arg-type]
    assert done.fault is None, done.fault
    value: int = state.maps["table"][0]
    return value - 2**64 if value >> 63 else value


SEND = "r1 = {slot}\nr2 = {op}\nr3 = 7\nr4 = r10\nr4 += -64\nr5 = {length}\ncall 1000\n"
FILL = "r1 = r10\nr1 += -64\nr2 = 1\nr3 = 64\ncall 1009\n"


# --- what a handler sees ---------------------------------------------------------------------------------------------

MESSAGE = jit.Message(
    tag=2**64 - 1, badge=2**63, op=3, status=-5, slot=1, body=b"12345678", flags=9, ncaps=2
)  # fmt: skip
FIELDS = {
    "tag": 2**64 - 1, "badge": 2**63, "now_ns": 77, "op": 3, "status": 2**32 - 5, "slot": 1, "event": 3, "ncaps": 2,
    "flags": 9,
}  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", FIELDS)
def test_every_field_of_the_context_is_the_message_s(name: str, engine: str) -> None:
    field = next(field for field in hooks.GRAFT_CONTEXT if field.name == name)
    text = f"r0 = *(u{8 * field.size} *)(r6 + {field.offset})\n"
    seen = result(text, MESSAGE, event="failure", clock=lambda: 77, engine=engine)
    assert seen % 2**64 == FIELDS[name]


def test_the_body_lies_between_data_and_data_end() -> None:
    length = "r1 = *(u64 *)(r6 + 0)\nr0 = *(u64 *)(r6 + 8)\nr0 -= r1\n"
    assert result(length, jit.Message(body=bytes(100))) == 100
    assert result("r1 = *(u64 *)(r6 + 0)\nr0 = *(u64 *)(r1 + 8)\n", jit.Message(body=bytes(8) + b"\5" + bytes(7))) == 5


@pytest.mark.parametrize(
    ("event", "slot"), [("reply", 0), ("submit", 0), ("request", hooks.NO_SLOT), ("timer", hooks.NO_SLOT)]
)
def test_a_message_without_a_slot_shows_the_one_that_its_event_implies(event: str, slot: int) -> None:
    assert result("r0 = *(u32 *)(r6 + 48)\n", event=event) == slot


def test_neither_context_nor_body_can_be_written() -> None:
    for text in ("*(u8 *)(r1 + 16) = r1\n", "r2 = *(u64 *)(r1 + 0)\n*(u8 *)(r2 + 0) = r1\n"):
        done = run(text + DELIVER, jit.Message(body=bytes(8)))
        assert done.fault is not None
        assert done.fault.kind is FaultKind.NOT_WRITABLE


# --- which handler runs ----------------------------------------------------------------------------------------------


def test_the_most_special_handler_runs() -> None:
    program = graft(dict.fromkeys(("reply", "reply/disk.read", "request/kv.put", "timer"), DELIVER))

    def chosen(event: Event | str, op: int = 0) -> str:
        return jit.activate(program, event, jit.Message(op=op), jit.GraftState(program)).handler

    assert chosen("reply") == "reply/disk.read"
    assert chosen(Event.REPLY, op=1) == "reply"
    assert chosen("request", op=1) == "request/kv.put"
    assert chosen("reply/disk.read", op=1) == "reply/disk.read"
    for event, op in (("request", 0), ("submit", 0), ("replay", 0)):
        with pytest.raises(GraftError):
            chosen(event, op)


# --- verdicts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "r0", "name"),
    [
        ("reply", 0, "deliver"), ("reply", 1, "consume"), ("failure", 1, "consume"), ("submit", 2, "drop"),
        ("submit", 1, "hold"), ("request", 1, "answered"), ("request", 3, "steer 0"), ("timer", 0, "done"),
    ],
)  # fmt: skip
def test_a_verdict_of_the_hook_is_returned(event: str, r0: int, name: str) -> None:
    done = run(f"r0 = {r0}\nexit\n", event=event)
    assert (done.verdict, done.verdict_name, done.fault) == (r0, name, None)


@pytest.mark.parametrize(("event", "r0"), [("reply", 2), ("reply", -1), ("request", 4), ("timer", 1), ("schedule", 1)])
def test_any_other_result_is_a_fault(event: str, r0: int) -> None:
    done = run(f"r0 = {r0}\nexit\n", event=event)
    assert done.fault is not None
    assert (done.verdict, done.verdict_name, done.fault.kind) == (None, "fault", FaultKind.ILLEGAL_VERDICT)
    assert done.fault.pc == 1


# --- sending ---------------------------------------------------------------------------------------------------------


def test_sends_are_listed_in_order_and_committed_together() -> None:
    done = run(FILL + SEND.format(slot=0, op=0, length=8) + SEND.format(slot=0, op=1, length=3) + "r0 = 1\nexit\n")
    assert done.outbox == (jit.Send(0, 0, 7, b"\1" * 8), jit.Send(0, 1, 7, b"\1" * 3))
    assert (done.cost.sends, done.cost.bytes_sent, done.helper_calls) == (2, 11, 3)
    assert dict(done.cost.helpers) == {1000: 2, 1009: 1}
    assert done.cost.stack_bytes == 64


@pytest.mark.parametrize(
    ("slot", "op", "length", "status"),
    [
        (0, 0, 8, 0), (0, 1, 0, 0), (0, 1, 9, 0), (0, 0, 7, EINVAL), (0, 0, 16, EINVAL), (0, 2, 8, EINVAL),
        (3, 0, 8, EINVAL), (-1, 0, 8, EINVAL), (1, 0, 8, EBADF), (2, 0, 8, EPERM),
    ],
)  # fmt: skip
def test_a_send_is_refused_with_the_reason(slot: int, op: int, length: int, status: int) -> None:
    text = FILL + SEND.format(slot=slot, op=op, length=length)
    assert result(text, slots={"disk": "an endpoint", "peer": None, "mute": 1}) == status


def test_the_outbox_has_a_quota() -> None:
    loop = FILL + "r7 = {count}\nl0:\n" + SEND.format(slot=0, op=0, length=8) + "r7 -= 1\nif r7 != 0 goto l0\n"
    assert result(loop.format(count=limits.OUTBOX_ENTRIES)) == 0
    assert result(loop.format(count=limits.OUTBOX_ENTRIES + 1)) == EAGAIN


@pytest.mark.parametrize(
    ("offset", "length", "status"), [(0, 8, 0), (2, 8, 0), (3, 8, EINVAL), (2**31 - 1, 8, EINVAL), (-1, 8, EINVAL)]
)
def test_a_range_of_the_message_is_sent_only_if_it_lies_within(offset: int, length: int, status: int) -> None:
    text = f"r1 = 0\nr2 = 0\nr3 = 7\nr4 = {offset}\nr5 = {length}\ncall 1001\n"
    assert result(text, jit.Message(body=b"0123456789"), event="reply") == status


def options(
    deadline: int = 0, caps: tuple[int, ...] = (), ncaps: int | None = None, promise: int = hooks.NO_SLOT
) -> str:
    """Return code that builds a send_options record and an 8-byte body at r10 - 64, and sends it."""
    record = struct.pack("<Q4III", deadline, *(*caps, 0, 0, 0, 0)[:4], len(caps) if ncaps is None else ncaps, promise)
    words = struct.unpack("<5Q", record + b"\x2a" + bytes(7))
    stores = "".join(f"r1 = {word} ll\n*(u64 *)(r10 - {64 - 8 * i}) = r1\n" for i, word in enumerate(words))
    return stores + "r1 = 0\nr2 = 0\nr3 = 7\nr4 = r10\nr4 += -64\nr5 = 40\ncall 1002\n"


def test_a_send_carries_deadline_capabilities_and_promise() -> None:
    peer = SlotSpec("peer", KV, grant=True)
    program = graft({"reply": options(500, (1, hooks.CAP_OF_MESSAGE), promise=1) + DELIVER}, slots=[DISK, peer])
    done = jit.activate(program, "reply", jit.Message(ncaps=1), jit.GraftState(program))
    assert done.outbox == (jit.Send(0, 0, 7, struct.pack("<Q", 42), 500, (1, hooks.CAP_OF_MESSAGE), 1),)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (options(), 0), (options(limits.TIMER_DELAY_NS + 1), EINVAL), (options(ncaps=5), EINVAL),
        (options(promise=3), EINVAL),
        (options(caps=(0,)), EPERM), (options(caps=(1,)), EBADF), (options(caps=(9,)), EINVAL),
        (options(caps=(hooks.CAP_OF_MESSAGE | 1,)), EINVAL),
    ],
)  # fmt: skip
def test_options_that_cannot_be_kept_are_refused(text: str, status: int) -> None:
    assert result(text, jit.Message(ncaps=1), slots=["endpoint", None]) == status


def test_a_helper_s_pointer_is_checked_like_an_instruction_s() -> None:
    wrong = "r1 = 0\nr2 = 0\nr3 = 7\nr4 = r10\nr5 = 8\ncall 1000\n" + DELIVER
    done = run(wrong)
    assert done.fault is not None
    assert (done.fault.kind, done.fault.pc, done.outbox) == (FaultKind.OUT_OF_BOUNDS, 5, ())
    unwritten = run(SEND.format(slot=0, op=0, length=8) + DELIVER)
    assert unwritten.fault is not None
    assert unwritten.fault.kind is FaultKind.UNINITIALISED_STACK


# --- answers, timers, held operations --------------------------------------------------------------------------------


def test_the_last_answer_counts() -> None:
    answer = "r1 = {status}\nr2 = r10\nr2 += -64\nr3 = {length}\ncall 1003\n"
    text = FILL + answer.format(status=0, length=9) + answer.format(status=-5, length=2) + "r0 = 1\nexit\n"
    assert run(text, event="request").answer == jit.Answer(-5, b"\1\1")


@pytest.mark.parametrize(("offset", "length", "status"), [(4, 6, 0), (10, 0, 0), (4, 7, EINVAL), (11, 0, EINVAL)])
def test_an_answer_may_be_a_range_of_the_request(offset: int, length: int, status: int) -> None:
    text = f"r1 = 0\nr2 = {offset}\nr3 = {length}\ncall 1010\n"
    assert result(text, jit.Message(body=b"0123456789"), event="request") == status


ARM = "r1 = {id}\nr2 = {delay} ll\ncall 1004\n"
CANCEL = "r1 = {id}\ncall 1005\n"


def test_timers_are_armed_cancelled_and_gone_when_they_fire() -> None:
    program = graft({
        "reply": ARM.format(id=7, delay=1000) + ARM.format(id=8, delay=5) + CANCEL.format(id=8) + DELIVER,
        "timer": CANCEL.format(id=7) + "if r0 == -2 goto l0\nr0 = 1\nexit\nl0:\nr0 = 0\nexit\n",
    })  # fmt: skip
    state = jit.GraftState(program)
    done = jit.activate(program, "reply", jit.Message(), state, clock=50)
    assert done.timers == (jit.Armed(7, 1000), jit.Armed(8, 5), jit.Cancelled(8))
    assert state.timers == {7: 1050}
    assert jit.activate(program, "timer", jit.Message(tag=7), state, clock=1050).verdict_name == "done"
    assert state.timers == {}


def test_timers_have_a_quota_and_a_longest_delay() -> None:
    assert result(ARM.format(id=1, delay=limits.TIMER_DELAY_NS)) == 0
    assert result(ARM.format(id=1, delay=limits.TIMER_DELAY_NS + 1)) == EINVAL
    assert result(CANCEL.format(id=1)) == ENOENT
    loop = "r7 = {count}\nl0:\nr1 = {id}\nr2 = 5\ncall 1004\nr7 -= 1\nif r7 != 0 goto l0\n"
    assert result(loop.format(count=limits.TIMERS_ARMED + 1, id="r7")) == EAGAIN
    assert result(loop.format(count=limits.TIMERS_ARMED + 1, id="3")) == 0


def test_a_held_operation_is_released_once() -> None:
    release = "r1 = *(u64 *)(r1 + 16)\nr2 = {status}\ncall 1006\n"
    program = graft({"submit": "r0 = 1\nexit\n", "timer": release.format(status=0) + DELIVER})
    state = jit.GraftState(program)
    jit.activate(program, "submit", jit.Message(tag=4), state)
    assert state.held == {4: 1}
    assert jit.activate(program, "timer", jit.Message(tag=4), state).releases == (jit.Release(4, 0),)
    assert jit.activate(program, "timer", jit.Message(tag=4), state).releases == ()


def test_a_hint_is_passed_on() -> None:
    done = run("r1 = 4096\nr2 = 3\ncall 1007\nr0 = 0\nexit\n", event="schedule")
    assert done.hints == (jit.Hint(4096, 3),)


# --- all or nothing --------------------------------------------------------------------------------------------------

STORE = ("*(u64 *)(r10 - 8) = 7\nr1 = map 0 ll\nr2 = r10\nr2 += -8\nr3 = r2\nr4 = 0\ncall 2\n"
         "r1 = 5\nr2 = 100\ncall 1004\n")  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "ending", ["r0 = 9\nexit\n", "r0 = *(u64 *)(r0 + 0)\nexit\n", "l0:\ngoto l0\n", "r0 = r5\nexit\n"]
)
def test_a_fault_changes_nothing(ending: str, engine: str) -> None:
    program = graft({"reply": FILL + SEND.format(slot=0, op=0, length=8) + STORE + ending}, maps=[WANTED, BSS])
    state = jit.GraftState(program)
    state.maps["wanted"][7] = 1
    before = state.snapshot()
    done = jit.activate(program, "reply", jit.Message(), state, fuel=1000, engine=engine)
    assert done.fault is not None
    assert state.snapshot() == before
    assert (done.verdict, done.outbox, done.timers) == (None, (), ())
    assert done.instructions > 20
    assert done.fault.handler == "reply"


def test_without_a_fault_the_changes_stay() -> None:
    program = graft({"reply": STORE + DELIVER}, maps=[WANTED])
    state = jit.GraftState(program)
    assert jit.activate(program, "reply", jit.Message(), state, clock=1).fault is None
    assert (dict(state.maps["wanted"]), state.timers) == ({7: 7}, {5: 101})


def test_an_activation_ends_with_its_fuel_and_no_fuel_means_the_default() -> None:
    done = run("l0:\ngoto l0\n", engine="numba")
    assert done.fault is not None
    assert (done.fault.kind, done.instructions) == (FaultKind.OUT_OF_FUEL, limits.DEFAULT_FUEL)


# --- verified programs -----------------------------------------------------------------------------------------------


@dataclass
class Claimed:
    """Stands in for `verifier.Verified`, with a bound that may be a lie; the true one is made by the verifier alone."""

    program: Program
    bound: int

    @property
    def handlers(self) -> dict[str, SimpleNamespace]:
        bounds = CostVector(instructions=self.bound)
        return {handler.name: SimpleNamespace(bounds=bounds) for handler in self.program.handlers}


@pytest.fixture
def claimed(monkeypatch: pytest.MonkeyPatch) -> type[Claimed]:
    monkeypatch.setattr(verifier, "Verified", Claimed, raising=False)
    return Claimed


def test_a_verified_program_runs_as_the_program_does(claimed: type[Claimed]) -> None:
    program = graft({"reply": STORE + DELIVER}, maps=[WANTED])
    results = []
    for subject in (program, claimed(program, 11)):
        state = jit.GraftState(subject)  # type: ignore[arg-type]
        results.append((jit.activate(subject, "reply", jit.Message(), state), state.snapshot()))  # type: ignore[arg-type]
    assert results[0] == results[1]


def test_a_verified_program_with_too_little_fuel_changes_nothing(claimed: type[Claimed]) -> None:
    program = graft({"reply": STORE + DELIVER}, maps=[WANTED])
    state = jit.GraftState(program)
    before = state.snapshot()
    done = jit.activate(claimed(program, 12), "reply", jit.Message(), state, fuel=11)  # type: ignore[arg-type]
    assert done.fault is not None
    assert done.fault.kind is FaultKind.OUT_OF_FUEL
    assert state.snapshot() == before


def test_a_verified_program_that_faults_is_a_bug_of_ours(claimed: type[Claimed]) -> None:
    program = graft({"reply": "r0 = 7\nexit\n"})
    with pytest.raises(InternalError):
        jit.activate(claimed(program, 2), "reply", jit.Message(), jit.GraftState(program))  # type: ignore[arg-type]


# --- wrong arguments -------------------------------------------------------------------------------------------------


def test_wrong_arguments_are_refused() -> None:
    program, other = graft({"reply": DELIVER}), graft({"reply": "r0 = 1\nexit\n"})
    state = jit.GraftState(program)

    def call(subject: object = program, message: object = jit.Message(), **more: object) -> None:
        jit.activate(subject, "reply", message, more.pop("state", state), **more)  # type: ignore[arg-type]

    call()
    for wrong in ({"subject": b""}, {"message": b""}, {"state": {}}, {"fuel": "7"}, {"clock": 1.5}):
        with pytest.raises(TypeError):
            call(**wrong)  # type: ignore[arg-type]
    for wrong in (
        {"subject": other}, {"fuel": -1}, {"clock": -1}, {"slots": {"dsk": 1}}, {"slots": [1, 2]}, {"engine": "c"}
    ):  # fmt: skip
        with pytest.raises(GraftError):
            call(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [{"tag": -1}, {"tag": 2**64}, {"op": 2**32}, {"status": 2**31}, {"slot": -1}, {"ncaps": 5},
     {"body": bytes(limits.BODY_BYTES + 1)}],
)  # fmt: skip
def test_a_message_with_a_field_out_of_range_cannot_be_made(fields: dict[str, int]) -> None:
    with pytest.raises(GraftError):
        jit.Message(**fields)  # type: ignore[arg-type]


def test_raw_programs_and_grafts_are_not_mistaken_for_each_other() -> None:
    raw = Program.from_assembly(DELIVER, hooks.raw_memory(0))
    with pytest.raises(GraftError):
        jit.activate(raw, "main", jit.Message(), jit.GraftState(raw))
    with pytest.raises(GraftError):
        jit.interpret(graft({"reply": DELIVER}), bytearray())


def test_two_served_protocols_are_told_apart_by_the_handler_s_name() -> None:
    second = ProtocolSpec("log", KV.ops)
    program = graft({"request/kv.get": DELIVER, "request/log.get": "r0 = 2\nexit\n"}, serves=[KV, second])
    done = jit.activate(program, "request/log.get", jit.Message(), jit.GraftState(program))
    assert done.verdict_name == "drop"
