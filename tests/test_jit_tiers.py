"""A program that changes engines while it runs gives what either engine alone would give."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import grafting
import jit
import verifier
from grafting import InternalError, Program, hooks
from grafting.diagnostics import fail
from jit import tiers

TEXT = """graft count
map seen: hash<u64, u64, 16>
state sum: u64
on submit(op) {
    let n = seen[op.tag] else { 0 }
    seen[op.tag] = n + 1 else { return drop }
    sum += op.tag * n
    return pass
}
"""


@pytest.fixture
def verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> verifier.Verified:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return verifier.verify(grafting.compile_graft(TEXT))


def run(subject: object, state: jit.GraftState, tags: range) -> list[tuple[int | None, int]]:
    results = [jit.activate(subject, "submit", jit.Message(tag=tag % 5), state) for tag in tags]  # type: ignore[arg-type]
    return [(result.verdict, result.instructions) for result in results]


def test_a_switch_between_activations_shows_in_nothing(verified: verifier.Verified) -> None:
    alone, mixed = jit.GraftState(verified), jit.GraftState(verified)
    engine = jit.TieredEngine(verified)
    expected = run(verified, alone, range(40))
    before = run(engine, mixed, range(20))
    assert engine.wait()
    after = run(engine, mixed, range(20, 40))
    assert before + after == expected
    assert mixed.snapshot() == alone.snapshot()


def test_nothing_is_compiled_before_the_first_use_and_activations_do_not_wait(
    verified: verifier.Verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, allowed = threading.Event(), threading.Event()
    compile_native = tiers.compile_native

    def slowly(subject: verifier.Verified, *, counting: bool) -> jit.NativeEngine:
        started.set()
        assert allowed.wait(30)
        return compile_native(subject, counting=counting)

    monkeypatch.setattr(tiers, "compile_native", slowly)
    engine = jit.TieredEngine(verified)
    assert not started.is_set()
    state = jit.GraftState(verified)
    run(engine, state, range(10))  # the code cannot be there: these are interpreted
    assert engine.native is None
    allowed.set()
    assert engine.wait(30)
    run(engine, state, range(10, 20))
    assert "native" in repr(engine)


def test_what_cannot_be_compiled_stays_interpreted(
    verified: verifier.Verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(subject: verifier.Verified, *, counting: bool) -> jit.NativeEngine:
        raise fail("G0710", "too long")

    monkeypatch.setattr(tiers, "compile_native", refuse)
    engine = jit.TieredEngine(verified)
    assert not engine.wait(30)
    assert isinstance(engine.failure, grafting.GraftError)
    assert run(engine, jit.GraftState(verified), range(9)) == run(verified, jit.GraftState(verified), range(9))


def test_a_bug_of_ours_is_not_swallowed(verified: verifier.Verified, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(subject: verifier.Verified, *, counting: bool) -> jit.NativeEngine:
        raise InternalError("LLVM does not take our code")

    monkeypatch.setattr(tiers, "compile_native", fail)
    engine = jit.TieredEngine(verified)

    def use() -> None:
        run(engine, jit.GraftState(verified), range(1))
        tiers._compilers().submit(int).result(30)  # done after what was asked for before
        engine.current()

    with pytest.raises(InternalError):
        use()


def test_raw_programs_have_tiers_and_unverified_ones_do_not() -> None:
    program = Program.from_assembly("r0 = *(u8 *)(r1 + 0)\nr0 += 1\nexit", hooks.raw_memory(1))
    engine = jit.TieredEngine(verifier.verify(program))
    assert jit.interpret(engine, bytearray(b"\5")).r0 == 6
    assert engine.wait(60)
    assert jit.interpret(engine, bytearray(b"\6")).r0 == 7
    with pytest.raises(TypeError):
        jit.TieredEngine(program)  # type: ignore[arg-type]
