"""What a native engine takes and refuses, batches, and where its code lies."""

from __future__ import annotations

import gc
import re
import weakref
from pathlib import Path

import numpy as np
import pytest
from machines import MAPS, graft, words

import jit
import verifier
from grafting import GraftError, Program, hooks, limits
from jit import machine
from jit.activation import run_raw
from jit.hot import tier
from jit.native import engine as native
from jit.native import entry, llvm

# --- what engines take ------------------------------------------------------------------------------------------------


ADD = "r0 = *(u32 *)(r1 + 0)\nr2 = *(u32 *)(r1 + 4)\nr0 += r2\nexit\n"


def test_only_a_verified_is_compiled() -> None:
    program = Program.from_assembly(ADD, hooks.raw_memory(8))
    subject = verifier.verify(program)

    class Forged(verifier.Verified):
        def __init__(self) -> None:
            self._program, self._handlers = program, dict(subject.handlers)

    class LookAlike:
        handlers = subject.handlers

        def __init__(self) -> None:
            self.program = program

    for wrong in (program, Forged(), LookAlike(), None, b""):
        with pytest.raises(TypeError, match="only a Verified"):
            jit.compile_native(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="only a Verified"):
            jit.NativeEngine(wrong)  # type: ignore[arg-type]
    with pytest.raises(GraftError) as caught:
        jit.interpret(program, bytearray(8), engine="native")
    assert caught.value.diagnostics[0].code == "G0711"


def test_memory_must_have_the_size_of_the_hook() -> None:
    engine = jit.compile_native(verifier.verify(Program.from_assembly(ADD, hooks.raw_memory(8))))
    for wrong in (bytearray(7), bytearray(9), bytearray()):
        with pytest.raises(GraftError) as caught:
            engine.run(wrong)
        assert caught.value.diagnostics[0].code == "G0703"
    with pytest.raises(TypeError):
        engine.run(bytes(8))  # type: ignore[arg-type]
    for shape in ((3, 9), (8,), (1, 2, 4)):
        with pytest.raises(GraftError):
            engine.run_many(np.zeros(shape, np.uint8))
    with pytest.raises(TypeError):
        engine.run_many(np.zeros((3, 8), np.int8))  # type: ignore[arg-type]


def test_memory_may_lie_anywhere() -> None:
    context = verifier.verify(Program.from_assembly(ADD, hooks.raw_context(8)))
    engine = jit.compile_native(context)
    shifted = bytearray(b"\xff\xff\xff" + words(1 | 2 << 32, size=8))
    del shifted[:3]  # its bytes now begin three further
    assert engine.run(shifted) == 3
    wide = np.arange(4 * 40, dtype=np.uint8).reshape(4, 40)
    inside = wide[:, 5:13]
    expected = [
        int.from_bytes(row[:4].tobytes(), "little") + int.from_bytes(row[4:].tobytes(), "little") for row in inside
    ]
    assert engine.run_many(inside).tolist() == expected
    assert engine.run_many(inside[::-2]).tolist() == expected[::-2]
    frozen = inside.copy()
    frozen.flags.writeable = False
    assert engine.run_many(frozen).tolist() == expected


def test_rows_that_do_not_lie_as_the_code_needs_them_are_changed_all_the_same() -> None:
    program = Program.from_assembly("*(u64 *)(r1 + 0) = 7\nr0 = 1\nexit\n", hooks.raw_memory(8))
    engine = jit.compile_native(verifier.verify(program))
    turned = np.zeros((8, 3), np.uint8).T
    assert engine.run_many(turned).tolist() == [1, 1, 1]
    assert turned[:, 0].tolist() == [7, 7, 7]
    turned.flags.writeable = False
    with pytest.raises(GraftError, match="read-only"):
        engine.run_many(turned)


def test_a_program_without_memory_runs() -> None:
    engine = jit.compile_native(verifier.verify(Program.from_assembly("r0 = r2\nr0 |= r1\nexit", hooks.raw_memory(0))))
    assert engine.run(bytearray()) == 0


def test_an_empty_context_is_never_read() -> None:
    engine = jit.compile_native(verifier.verify(Program.from_assembly("r0 = 8\nexit", hooks.raw_context(0))))
    assert engine.run(bytearray()) == 8
    assert engine.run_many(np.zeros((3, 0), np.uint8)).tolist() == [8, 8, 8]


def test_with_less_fuel_than_the_bound_fuel_means_what_it_means_in_the_interpreter() -> None:
    subject = verifier.verify(Program.from_assembly(ADD, hooks.raw_memory(8)))
    engine = jit.compile_native(subject)
    for fuel in range(6):
        outcomes = [run_raw(s, bytearray(8), fuel=fuel, engine=e) for s, e in ((subject, "python"), (engine, "native"))]
        assert outcomes[0] == outcomes[1]
        assert (outcomes[1][1] is None) == (fuel >= 4)


# --- many -------------------------------------------------------------------------------------------------------------


def test_a_batch_is_the_same_as_its_messages_one_after_the_other() -> None:
    text = """
        r6 = *(u64 *)(r1 + 16)
        r7 = map_value 3 ll
        r8 = *(u64 *)(r7 + 0)
        r8 += r6
        *(u64 *)(r7 + 0) = r8
        r2 = *(u64 *)(r1 + 0)
        r3 = *(u64 *)(r1 + 8)
        r4 = r2
        r4 += 1
        if r4 > r3 goto quiet
        r5 = *(u8 *)(r2 + 0)
        if r5 != 1 goto quiet
        *(u64 *)(r10 - 8) = r8
        r1 = 0
        r2 = 0
        r3 = r6
        r4 = r10
        r4 += -8
        r5 = 8
        call 1000
        r1 = r6
        r2 = 50
        call 1004
        r1 = r6
        r2 = 0
        call 1006
    quiet:
        r0 = r8
        r0 %= 3
        exit
    """
    subject = verifier.verify(graft({"submit": text}, maps=MAPS))
    engine = jit.compile_native(subject)
    messages = [jit.Message(tag=n % 5, body=bytes([n % 4 == 1] * (n % 3))) for n in range(60)]
    one, many = jit.GraftState(subject), jit.GraftState(subject)
    each = [jit.activate(subject, "submit", message, one, clock=7) for message in messages]
    done = jit.activate_many(engine, "submit", jit.Batch.of(messages, "submit"), many, clock=7)
    assert done.verdicts.tolist() == [result.verdict for result in each]
    assert many.snapshot() == one.snapshot()
    assert many.held  # some were held, and some of those released
    for number, result in enumerate(each):
        asked = done.effects.get(number)
        assert (asked.outbox if asked else ()) == result.outbox
        assert (asked.releases if asked else ()) == result.releases
        assert (asked.timers if asked else ()) == result.timers
    assert sum(len(result.outbox) for result in each) == len(done.effects) > 5


def test_a_timer_that_fires_in_a_batch_is_no_longer_armed() -> None:
    text = "r6 = *(u64 *)(r1 + 16)\nif r6 != 4 goto out\nr1 = 9\nr2 = 1\ncall 1004\nout: r0 = 0\nexit"
    subject = verifier.verify(graft({"timer": text}))
    state = jit.GraftState(subject)
    state.timers = {1: 10, 9: 10, 4: 10, 8: 10}
    messages = [jit.Message(tag=tag) for tag in (9, 1, 4, 8)]
    jit.activate_many(jit.compile_native(subject), "timer", jit.Batch.of(messages, "timer"), state, clock=20)
    assert state.timers == {9: 21}


def test_a_batch_must_be_sound() -> None:
    subject = verifier.verify(graft({"reply/disk.read": "r0 = 0\nexit", "reply": "r0 = 1\nexit"}))
    engine, state = jit.compile_native(subject), jit.GraftState(subject)
    batch = jit.Batch.of([jit.Message(op=0, body=b"abc"), jit.Message(op=1)], "reply")
    with pytest.raises(GraftError, match="one handler"):
        jit.activate_many(engine, "reply", batch, state)
    assert jit.activate_many(
        engine, "reply", jit.Batch(batch.records[:1], batch.bodies[:1]), state
    ).verdicts.tolist() == [0]
    assert len(jit.activate_many(engine, "reply", jit.Batch(batch.records[:0], batch.bodies[:0]), state).verdicts) == 0
    for name, value in (("length", 4), ("ncaps", 5)):
        records = batch.records[:1].copy()
        records[name] = value
        with pytest.raises(GraftError, match="a message is longer"):
            jit.activate_many(engine, "reply", jit.Batch(records, batch.bodies[:1]), state)
    with pytest.raises(TypeError):
        jit.activate_many(subject, "reply", batch, state)  # type: ignore[arg-type]


# --- code in memory ---------------------------------------------------------------------------------------------------


def numbered(number: int) -> verifier.Verified:
    text = f"r0 = *(u64 *)(r1 + 0)\nr0 *= {number}\nr0 ^= {number + 1}\nexit"
    return verifier.verify(Program.from_assembly(text, hooks.raw_memory(8)))


def mappings() -> list[tuple[int, int, str]]:
    """Return first address, end and rights of all that is mapped."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, end = (int(address, 16) for address in line.split()[0].split("-"))
        found.append((first, end, line.split()[1]))
    return found


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="there is no /proc")
def test_no_code_is_writable_and_executable_at_once() -> None:
    llvm.emit_assembly("")
    before = {found for found in mappings() if "w" in found[2] and "x" in found[2]}  # libffi's, for callbacks of ctypes
    engines = [jit.compile_native(numbered(number)) for number in range(20)]
    for engine in engines:
        code = engine.address("main")
        assert [rights for first, end, rights in mappings() if first <= code < end] == ["r-xp"]
    assert {found for found in mappings() if "w" in found[2] and "x" in found[2]} <= before


def test_equal_programs_share_code_and_different_ones_do_not() -> None:
    one, same_, other = (jit.compile_native(numbered(number)) for number in (1, 1, 2))
    assert one.address("main") == same_.address("main") != other.address("main")


def test_hundreds_of_grafts_in_one_process_each_keep_their_code() -> None:
    engines = [jit.compile_native(numbered(number)) for number in range(3)]
    code, names = llvm.emit_object(native.module(numbered(7), counting=False).text), ("h0",)
    before = [llvm.load(code, names) for _ in range(600)]
    assert len({library.addresses["h0"] for library in before}) == 600
    del before
    memory = bytearray(words(5, size=8))
    assert [engine.run(memory) for engine in engines] == [5 * number ^ number + 1 for number in range(3)]


def test_code_goes_with_the_last_engine_that_uses_it() -> None:
    engines = [jit.compile_native(numbered(12345)) for _ in range(2)]
    watched = weakref.ref(native.loaded(engines[0].program))
    del engines[0]
    assert watched() is not None
    engines.clear()
    gc.collect()
    assert watched() is None


def test_a_program_that_is_too_long_once_expanded_is_refused_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "call f\ncall f\ncall f\nexit\nf: r0 = 1\nr0 += 2\nr0 += 2\nr0 += 2\nexit"
    subject = verifier.verify(Program.from_assembly(text, hooks.raw_memory(0)))
    monkeypatch.setattr(limits, "NATIVE_SLOTS", 15)
    with pytest.raises(GraftError) as caught:
        jit.compile_native(subject)
    assert caught.value.diagnostics[0].code == "G0710"
    assert jit.compile_native(numbered(3)).run(bytearray(8)) == 4


def test_numba_code_calls_native_code_by_address() -> None:
    compiled, hot_machine = tier("numba", entry), tier("numba", machine)
    subject = verifier.verify(graft({"reply": "r0 = *(u64 *)(r1 + 16)\nr0 &= 1\nexit"}))
    engine, state = jit.compile_native(subject), jit.GraftState(subject)
    for tag in (6, 7):
        hot_machine.begin(state.machine, 0, state.body_at, 0, 100, 0, machine.TRUSTING)
        hot_machine.write_context(state.machine, 0, tag, 0, 0, 0, 0, 0, 2, 0, 0)
        for counting in (False, True):
            address = engine.address("reply", counting=counting)
            status = compiled.run_native(state.machine, address, state.body_at, state.placement.state_at)
            assert (status, state.machine.registers[0]) == (machine.EXITED, tag & 1)
        assert state.machine.control[0]["instructions"] == state.machine.counts[: machine.CLASSES].sum() == 3


def test_the_examples_of_the_page_on_engines_run() -> None:
    page = Path(__file__).resolve().parents[1] / "docs" / "engines.md"
    examples = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    assert len(examples) >= 3
    for text in examples:
        exec(compile(text, "docs/engines.md", "exec"), {})
