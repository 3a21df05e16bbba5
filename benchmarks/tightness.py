"""How tight the proven bounds are: for every sample and loop, bound and observed maximum of instructions.

    python -m benchmarks.tightness [TRIES]      (default 400)

The maximum is what the checked interpreter observes over a search for the worst input: from what the samples' own tests
do (or the worst input that the loop's case names), TRIES changes of numbers and bytes, each kept if the handler then
runs no shorter. A ratio of 1.00 says that the bound is reached. The table in docs/verifier.md is what this prints.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import grafting
import jit
import verifier
from benchmarks import machine
from grafting import Program, hooks
from grafting.diagnostics import GraftError
from grafting.hooks import Event
from grafting.testcases import Step
from jit.activation import run_raw

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = sorted((ROOT / "samples").glob("*.graft"))
CASES = ROOT / "tests" / "cases" / "loops.yaml"
SHARED = ROOT.parent / "shared" / "verifier" / "loops.json"
HOOK = hooks.raw_context(192)
FUEL = 3_000_000  # instructions: longer loops are not run to their end
WORDS = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    15,
    16,
    30,
    31,
    32,
    63,
    64,
    100,
    127,
    128,
    255,
    256,
    1023,
    65_535,
    (1 << 31) - 1,
    (1 << 32) - 1,
)
HEADER = ("program", "bound", "observed", "ratio")


@dataclass(frozen=True)
class Row:
    """Instructions of one handler or loop: proved at most, and seen at most."""

    name: str
    bound: int
    observed: int

    @property
    def ratio(self) -> float:
        """The bound as a multiple of what was seen."""
        return self.bound / self.observed

    def cells(self) -> tuple[str, str, str, str]:
        """Return the row of the table."""
        return self.name, f"{self.bound:,}", f"{self.observed:,}", f"{self.ratio:.2f}"


# --- loops -----------------------------------------------------------------------------------------------------------


def cases() -> Iterator[dict[str, Any]]:
    """Yield the loops: of tests/cases, and the shared ones where they are at hand."""
    yield from yaml.safe_load(CASES.read_text())
    if SHARED.is_file():
        for case in json.loads(SHARED.read_text()):
            if not case["name"].startswith("infinite"):
                yield {"name": f"shared: {case['name']}", "code": case["asm"]}


def loop_row(case: Mapping[str, Any], tries: int, *, fuel: int = FUEL) -> Row | None:
    """Return the row of a loop; None if its bound is beyond the fuel."""
    program = Program.from_assembly(case["code"].replace("; ", "\n"), HOOK)
    bound = verifier.verify(program).bounds.instructions
    if bound > fuel:
        return None
    best = bytearray(192)
    for at, word in case.get("worst", {}).items():
        best[at : at + 4] = word.to_bytes(4, "little")
    most = _run(program, best, fuel)
    source = random.Random(0)
    for _ in range(tries):
        if most == bound:
            break
        memory = bytearray(best)
        at = source.choice((0, 0, 0, 8, 8, 4, source.randrange(48) * 4))
        memory[at : at + 4] = source.choice((*WORDS, source.getrandbits(32))).to_bytes(4, "little")
        seen = _run(program, memory, fuel)
        if seen >= most:
            most, best = seen, memory
    return Row(case["name"], bound, most)


def _run(program: Program, memory: bytearray, fuel: int) -> int:
    outcome, fault = run_raw(program, memory, fuel=fuel)
    assert fault is None, fault
    return outcome.instructions


# --- samples ---------------------------------------------------------------------------------------------------------


def sample_rows(path: Path, tries: int) -> list[Row]:
    """Return the rows of a sample, one for each handler."""
    program = grafting.compile_graft(path.read_text(), filename=path.name)
    bounds = {name: proof.bounds.instructions for name, proof in verifier.verify(program).handlers.items()}
    rows = []
    for name, bound in bounds.items():
        most = _worst(program, name, bound, random.Random(0), tries)
        rows.append(Row(f"{path.stem}: `{name}`", bound, most))
    return rows


def _worst(program: Program, handler: str, bound: int, source: random.Random, tries: int) -> int:
    """Return the most instructions that a handler is seen to run."""
    starts = [[step for step in case.steps if not step["do"].startswith("expect")] for case in program.tests]
    starts = [steps for steps in starts if _longest(program, handler, steps)] or [[_event(handler)]]
    best = max(starts, key=lambda steps: _longest(program, handler, steps))
    most = _longest(program, handler, best)
    for _ in range(tries):
        if most == bound:
            break
        steps = [
            _changed(step, source) if source.random() < 0.5 else step for step in source.choice((best, best, *starts))
        ]
        if source.random() < 0.2:
            steps += source.choice(starts)
        steps = steps[-12:]
        seen = _longest(program, handler, steps)
        if seen >= most:
            most, best = seen, steps
    return most


def _event(handler: str) -> Step:
    return {"do": "event", "handler": handler, "tag": 1, "badge": 0, "status": -5, "slot": 0, "op": 0, "body": ""}


def _longest(program: Program, handler: str, steps: list[Step]) -> int:
    """Return the most instructions that a handler runs in any of the events of some steps, slots filled or empty."""
    return max(_run_steps(program, handler, steps, slots) for slots in (None, dict[str, bool]()))


def _run_steps(program: Program, handler: str, steps: list[Step], slots: Mapping[str, bool] | None) -> int:
    state, now, most = jit.GraftState(program), 0, 0
    for step in steps:
        match step["do"]:
            case "map":
                with suppress(GraftError):  # a changed key may be past the end of an array
                    state.map(step["map"])[bytes.fromhex(step["key"])] = bytes.fromhex(step["value"])
            case "state":
                state.write_section(step["section"], step["offset"], bytes.fromhex(step["value"]))
            case "now":
                now = step["ns"]
            case _ if step["handler"] is not None:
                slotted = program.handler(step["handler"]).hook.event in (Event.SUBMIT, Event.REPLY, Event.FAILURE)
                message = jit.Message(
                    tag=step["tag"], badge=step["badge"], op=step["op"], status=step["status"],
                    slot=step["slot"] if slotted else None, body=bytes.fromhex(step["body"]),
                )  # fmt: skip
                done = jit.activate(program, step["handler"], message, state, slots=slots, clock=now)
                assert done.fault is None, done.fault
                if step["handler"] == handler:
                    most = max(most, done.instructions)
    return most


def _changed(step: Step, source: random.Random) -> Step:
    """Return a step with one number, or some bytes, changed."""
    names = [name for name in ("tag", "badge", "status", "body", "body", "body", "key", "value", "ns") if name in step]
    if not names:
        return step
    name = source.choice(names)
    if name == "status":
        return {**step, name: source.choice((0, 0, -5, -1, 1))}
    if name in ("tag", "badge", "ns"):
        return {**step, name: source.choice((*WORDS, step[name]))}
    content = bytearray.fromhex(step[name])
    if name == "body" and source.random() < 0.2:
        content = bytearray((bytes(content) + bytes(512))[: source.choice((0, 1, 8, 16, 24, 32, 64, 256, 512))])
    if name == "body" and source.random() < 0.2:  # one number in a whole array
        start = source.choice((8, 16, 24))
        content[start:] = (source.choice(WORDS).to_bytes(8, "little") * (len(content) // 8 + 1))[: len(content[start:])]
    for _ in range(source.randrange(1, 4)):
        if content:
            size = source.choice((4, 8))
            at = source.randrange(len(content)) // size * size
            word = source.choice(WORDS).to_bytes(8, "little")[: min(size, len(content) - at)]
            content[at : at + len(word)] = word
    return {**step, name: content.hex()}


def rows(tries: int, *, fuel: int = FUEL) -> list[Row]:
    """Return all rows of the table."""
    found = [row for path in SAMPLES for row in sample_rows(path, tries)]
    return found + [row for case in cases() if (row := loop_row(case, tries, fuel=fuel)) is not None]


def main(tries: int) -> None:
    print(machine.table(HEADER, (row.cells() for row in rows(tries))))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
