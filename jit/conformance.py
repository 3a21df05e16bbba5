"""The public BPF conformance suite, run against our engines: a file is a program, its memory and what must come of it.

    -- asm        the program, in the suite's own syntax (`jit.suite_assembly`)
    -- raw        the program as slots: 64-bit words (`0x0000000000000095`), or the bytes themselves (`95 00 00 ..`)
    -- mem        the memory, hexadecimal bytes: r1 is its address (0 without), r2 its length
    -- result     what r0 must be
    -- error      the program must be rejected when it is loaded, or be stopped when it runs

`raw` takes precedence over `asm`; `#` begins a comment; other sections are commentary. Nothing is skipped, and nothing
passes for want of something to check: a file without a program, or without an expectation, fails.

Where an error is expected, a test passes if the program is rejected when it is loaded or stopped when it runs; the
reason says which, and why. Native code is made of verified programs only, so there the verifier's rejection takes the
place of the stop. A program that is to have a result must be verified and compiled, else its test fails; it is never
interpreted instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from grafting import hooks, limits
from grafting.diagnostics import GraftError, fail
from grafting.program import Program
from jit import suite_assembly
from jit.activation import run_raw, tier_of
from jit.events import Outcome
from jit.faults import Fault

_WORD: Final = (1 << 64) - 1
NO_TEST: Final = "G0708"  # the code of a file that is not a test: it can never pass


@dataclass(frozen=True, slots=True)
class Result:
    """One test in one engine. `reason` says why it failed, or how a program that must be rejected was."""

    file: str
    engine: str
    passed: bool
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON-ready data."""
        return {"file": self.file, "engine": self.engine, "passed": self.passed, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Case:
    """A test file: bytecode, memory, and the expected r0, or None where an error is expected."""

    code: bytes
    memory: bytes
    expected: int | None


def run_directory(directory: Path | str, engine: str = "python") -> list[Result]:
    """Run every `.data` file below a directory, in order of name.

    Raises GraftError G0704 for an unknown engine, G0708 if there is no such file; OSError if one cannot be read.
    """
    root = Path(directory)
    files = sorted(root.rglob("*.data")) if root.is_dir() else []
    if not files:
        raise fail(NO_TEST, f"there is no `.data` file below {root}")
    return [run_text(_read(file), engine, file=file.relative_to(root).as_posix()) for file in files]


def _read(file: Path) -> str:
    return file.read_bytes().decode("utf-8", "replace")


def table(results: Sequence[Result]) -> str:
    """Return how many tests passed and failed in each engine, and each failure with its reason."""
    lines = [f"{'engine':<8} {'passed':>6} {'failed':>6}"]
    for engine in dict.fromkeys(result.engine for result in results):
        passed = [result.passed for result in results if result.engine == engine]
        lines.append(f"{engine:<8} {sum(passed):>6} {len(passed) - sum(passed):>6}")
    failed = [f"FAIL {result.engine}: {result.file}: {result.reason}" for result in results if not result.passed]
    return "\n".join([*lines, *([""] if failed else []), *failed])


def run_text(text: str, engine: str = "python", *, file: str = "<string>") -> Result:
    """Run one test, given as the text of its file. Raises GraftError G0704 for an unknown engine."""
    if engine != "native":
        tier_of(engine)
    rejection_expected = "error" in sections(text)
    try:
        program, case = load(text)
    except GraftError as error:
        first = error.diagnostics[0]
        return Result(file, engine, rejection_expected and first.code != NO_TEST, f"rejected at load: {_told(error)}")
    try:
        outcome, fault = _run_native(program, case) if engine == "native" else _run(program, case, engine)
    except _Unverified as unverified:
        return Result(file, engine, rejection_expected, f"rejected by the verifier: {_told(unverified.rejected)}")
    except GraftError as error:
        return Result(file, engine, False, f"not run: {_told(error)}")
    if rejection_expected:
        reason = f"stopped: {fault}" if fault else f"an error was expected, but it ran and r0 is {outcome.r0:#x}"
        return Result(file, engine, fault is not None, reason)
    if fault is not None:
        return Result(file, engine, False, f"stopped: {fault}")
    if outcome.r0 != case.expected:
        return Result(file, engine, False, f"r0 is {outcome.r0:#x}, expected {case.expected:#x}")
    return Result(file, engine, True)


class _Unverified(Exception):
    """The verifier rejects a program that is to become native code."""

    def __init__(self, rejected: GraftError) -> None:
        super().__init__(str(rejected))
        self.rejected = rejected


def _run(program: Program, case: Case, engine: str) -> tuple[Outcome, Fault | None]:
    return run_raw(program, bytearray(case.memory), engine=engine)


def _run_native(program: Program, case: Case) -> tuple[Outcome, Fault | None]:
    import verifier

    try:
        verified = verifier.verify(program)
    except verifier.Rejected as rejected:
        raise _Unverified(rejected) from rejected
    enough = max(limits.DEFAULT_FUEL, verified.bounds.instructions)  # with less it would be interpreted
    return run_raw(verified, bytearray(case.memory), engine="native", fuel=enough)


def _told(error: GraftError) -> str:
    first = error.diagnostics[0]
    return f"{first.code}: {first.message}"


def load(text: str) -> tuple[Program, Case]:
    """Return the program of a test; raises GraftError: G05xx or G0707 rejected, G0708 not a test."""
    case = parse(text)
    return Program.from_bytecode(case.code, hooks.raw_memory(len(case.memory))), case


def parse(text: str) -> Case:
    """Read a test file; raises GraftError G0707 (its assembly) or G0708 (anything else)."""
    found = sections(text)
    memory = _bytes(found.get("mem", ""))
    if "raw" in found:
        code = _raw(found["raw"])
    elif "asm" in found:
        code = suite_assembly.assemble(found["asm"])
    else:
        raise fail(NO_TEST, "the test has no program: neither `-- asm` nor `-- raw`")
    if "error" in found:
        return Case(code, memory, None)
    if "result" not in found:
        raise fail(NO_TEST, "the test expects nothing: neither `-- result` nor `-- error`")
    return Case(code, memory, _integer(_plain(found["result"])) & _WORD)


def sections(text: str) -> dict[str, str]:
    """Return the sections of a test file by name."""
    found: dict[str, str] = {}
    name = None
    for line in text.splitlines():
        if line.startswith("--"):
            name = line[2:].strip()
            found[name] = ""
        elif name is not None:
            found[name] += f"{line}\n"
    return found


def _plain(text: str) -> str:
    return " ".join(line.partition("#")[0].strip() for line in text.splitlines()).strip()


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(_plain(text))
    except ValueError:
        raise fail(NO_TEST, "the test's memory is not hexadecimal bytes") from None


def _raw(text: str) -> bytes:
    tokens = _plain(text).split()
    if all(len(token) == 2 for token in tokens):
        return _bytes(text)
    return b"".join((_integer(token) & _WORD).to_bytes(8, "little") for token in tokens)


def _integer(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise fail(NO_TEST, f"{text!r} is not a number") from None
