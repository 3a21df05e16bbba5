"""The tests inside a graft: each runs from a fresh state, step by step, as `grafting.testcases` describes.

An expectation is exact. Its verdict is the last event's, its messages are all that were sent, in order, its timers all
that were armed, its releases all that were let go: what is not mentioned must not have happened. A fault, or a cost
above the handler's budget, fails the test at its event.

    for result in run_tests(program):
        print("ok" if result.passed else "FAIL", result.name, *result.failures)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grafting.diagnostics import Diagnostic, Label, Source, Span
from grafting.hooks import Event
from grafting.program import Program, TestCase
from grafting.testcases import Step
from jit.activation import activate
from jit.describe import answer_text, body_text, op_name, release_text, send_text, slot_name, timer_text
from jit.dispatch import subject_for
from jit.events import Activation, Answer, Armed, Message, Release, Send, verdict_name
from jit.faults import Fault
from jit.overrun import overrun
from jit.state import GraftState
from jit.values import Types

_SLOTTED = (Event.SUBMIT, Event.REPLY, Event.FAILURE)


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test: passed if it has no failures. `span` is the test's name in the source."""

    __test__ = False  # not a class for pytest to collect

    name: str
    failures: tuple[str, ...]
    span: Span

    @property
    def passed(self) -> bool:
        """Whether every expectation was met."""
        return not self.failures

    def diagnostic(self, source: Source | None) -> Diagnostic:
        """Return a failure as a diagnostic, G0709, in the text that the test is in."""
        return Diagnostic("G0709", f"the test `{self.name}` fails", Label(self.span), source, notes=self.failures)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON-ready data."""
        return {
            "name": self.name,
            "passed": self.passed,
            "failures": list(self.failures),
            "line": self.span.line or None,
        }


def run_tests(program: Program, engine: str = "python") -> list[TestResult]:
    """Run every test of `program` in the checked interpreter, in order.

    Raises GraftError if a test names what the program does not have, which only a forged object can.
    """
    return [run_test(program, case, engine) for case in program.tests]


def run_test(program: Program, case: TestCase, engine: str = "python") -> TestResult:
    """Run one test from a fresh state. Its first unmet expectation ends it: what follows builds on it."""
    test = _Test(program, engine)
    for step in case.steps:
        test.step(step)
        if test.failures:
            break
    return TestResult(case.name, tuple(test.failures), case.span)


def first_event(program: Program, handler: str) -> tuple[str, GraftState, Message, int] | None:
    """Return the name of the first test that has `handler` run, and the state, message and clock of that event.

    None if no test does so, or what comes before it in the test fails.
    """
    for case in program.tests:
        test = _Test(program, "python")
        for step in case.steps:
            if step["do"] == "event" and step["handler"] == handler:
                return case.name, test.state, _message(program, step), test.now_ns
            test.step(step)
            if test.failures:
                break
    return None


def _message(program: Program, step: Step) -> Message:
    slotted = program.handler(step["handler"]).hook.event in _SLOTTED
    return Message(
        tag=step["tag"], badge=step["badge"], op=step["op"], status=step["status"],
        slot=step["slot"] if slotted else None, body=bytes.fromhex(step["body"]),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Result:
    """What the last event led to; an event without a handler leaves the default verdict, 0, and no effects."""

    verdict: int
    activation: Activation | None

    @property
    def outbox(self) -> tuple[Send, ...]:
        return self.activation.outbox if self.activation else ()

    @property
    def armed(self) -> tuple[Armed, ...]:
        return tuple(t for t in self.activation.timers if isinstance(t, Armed)) if self.activation else ()

    @property
    def released(self) -> tuple[Release, ...]:
        return self.activation.releases if self.activation else ()

    @property
    def answer(self) -> Answer | None:
        return self.activation.answer if self.activation else None

    def verdict_name(self) -> str:
        return self.activation.verdict_name if self.activation else "the default, for there is no handler"


class _Test:
    """A test in progress."""

    def __init__(self, program: Program, engine: str) -> None:
        self._program, self._engine = program, engine
        self._subject = subject_for(program, engine)
        self.state = GraftState(program)
        self._types = Types(program.debug.types)
        self.now_ns = 0
        self._last = _Result(0, None)
        self.failures: list[str] = []

    def step(self, step: Step) -> None:
        """Do one step."""
        match step["do"]:
            case "map":
                view = self.state.map(step["map"])
                view[bytes.fromhex(step["key"])] = bytes.fromhex(step["value"])
            case "state":
                self.state.write_section(step["section"], step["offset"], bytes.fromhex(step["value"]))
            case "now":
                self.now_ns = step["ns"]
            case "event":
                self._event(step)
            case "expect":
                self._expect(step)
            case "expect_map":
                self._expect_map(step)
            case _:
                self._expect_state(step)

    def _fail(self, step: Step, message: str) -> None:
        self.failures.append(f"line {step['line']}: {message}")

    # --- events ------------------------------------------------------------------------------------------------------

    def _event(self, step: Step) -> None:
        if step["handler"] is None:
            self._last = _Result(0, None)
            return
        message = _message(self._program, step)
        result = activate(self._subject, step["handler"], message, self.state, clock=self.now_ns, engine=self._engine)
        over = overrun(self._program.handler(step["handler"]), result.cost)
        if result.fault is not None:
            self._fail(step, f"the handler `{result.handler}` faulted{_where(result.fault)}: {result.fault.sentence}")
        elif over is not None:
            self._fail(step, f"the handler `{result.handler}` took {over.sentence}")
        self._last = _Result(result.verdict or 0, result)

    # --- expectations ------------------------------------------------------------------------------------------------

    def _expect(self, step: Step) -> None:
        last = self._last
        if last.verdict != step["verdict"]:
            expected = self._verdict_text(step)
            self._fail(step, f"expected the verdict {expected}, got {last.verdict_name()}")
        if not self._sent_as_expected(step["sent"]):
            expected = _list([f"{self._sent_text(sent)}" for sent in step["sent"]])
            got = _list([send_text(self._program, send) for send in last.outbox])
            self._fail(step, f"expected to be sent: {expected}; got: {got}")
        if [[timer.id, timer.delay_ns] for timer in last.armed] != step["armed"]:
            expected = _list([timer_text(Armed(id_, delay)) for id_, delay in step["armed"]])
            got = _list([timer_text(timer) for timer in last.armed])
            self._fail(step, f"expected to be armed: {expected}; got: {got}")
        if step.get("released") is not None and [[r.tag, r.status] for r in last.released] != step["released"]:
            expected = _list([release_text(Release(tag, status)) for tag, status in step["released"]])
            got = _list([release_text(release) for release in last.released])
            self._fail(step, f"expected to be released: {expected}; got: {got}")
        if step["answer"] is not None:
            answer = Answer(step["answer"]["status"], bytes.fromhex(step["answer"]["body"]))
            if last.answer != answer:
                self._fail(step, f"expected the answer {answer_text(answer)}; got: {answer_text(last.answer)}")

    def _verdict_text(self, step: Step) -> str:
        activation = self._last.activation
        return verdict_name(activation.hook, step["verdict"]) if activation else str(step["verdict_text"])

    def _sent_as_expected(self, expected: list[Mapping[str, Any]]) -> bool:
        outbox = self._last.outbox
        return len(expected) == len(outbox) and all(
            (sent["slot"], sent["op"], bytes.fromhex(sent["body"])) == (send.slot, send.op, send.body)
            and sent["tag"] in (None, send.tag)
            for sent, send in zip(expected, outbox, strict=True)
        )

    def _sent_text(self, sent: Mapping[str, Any]) -> str:
        slots, number = self._program.slots, sent["slot"]
        op = op_name(slots[number] if number < len(slots) else None, sent["op"])
        tag = "" if sent["tag"] is None else f" tag {sent['tag']}"
        return f"{slot_name(self._program, number)}.{op}({body_text(bytes.fromhex(sent['body']))}){tag}"

    def _expect_map(self, step: Step) -> None:
        view = self.state.map(step["map"])
        key = view.encode_key(bytes.fromhex(step["key"]))
        got = view.raw(key)
        if got == (None if step["value"] is None else bytes.fromhex(step["value"])):
            return
        place = f"{step['map']}[{self._types.describe(view.spec.key_type, key)}]"
        found = "it is not there" if got is None else f"it is {self._types.describe(view.spec.value_type, got)}"
        self._fail(step, f"expected {self._wanted(step, view.spec.value_type, place)}; {found}")

    def _expect_state(self, step: Step) -> None:
        expected = bytes.fromhex(step["value"])
        got = self.state.section(step["section"])[step["offset"] : step["offset"] + len(expected)]
        if got == expected:
            return
        type_, place = self._variable(step)
        wanted = self._wanted(step, type_, place)
        self._fail(step, f"expected {wanted}; it is {self._types.describe(type_, got)}")

    def _wanted(self, step: Step, type_: str, place: str) -> str:
        if step["value"] is None:
            return f"no {place}"
        return f"{place} == {self._types.describe(type_, bytes.fromhex(step['value']))}"

    def _variable(self, step: Step) -> tuple[str, str]:
        """Return type and name of the state variable that a step means, as well as they are known."""
        variables = self.state.variables
        size = len(step["value"]) // 2
        for name in variables:
            v = variables.variable(name)
            if (v.section, v.offset, v.size) == (step["section"], step["offset"], size):
                return v.type, name
        return "", str(step["text"]).removeprefix("expect ").partition(" ==")[0]


def _where(fault: Fault) -> str:
    return f" in line {fault.span.line}" if fault.span.known else f" at slot {fault.pc}"


def _list(items: list[str]) -> str:
    return ", ".join(items) or "nothing"
