"""The public BPF conformance suite, run against our engines: a file is a program, its memory and what must come of it.

    -- asm        the program, in the suite's own syntax (`jit.suite_assembly`)
    -- raw        the program as slots: 64-bit words (`0x0000000000000095`), or the bytes themselves (`95 00 00 ..`)
    -- mem        the memory, hexadecimal bytes: r1 is its address (0 without), r2 its length
    -- result     what r0 must be
    -- error      the program must be rejected when it is loaded, or be stopped when it runs

`raw` takes precedence over `asm`; `#` begins a comment; other sections are commentary. Nothing is skipped, and nothing
passes for want of something to check: a file without a program, or without an expectation, fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from grafting import hooks
from grafting.diagnostics import GraftError, fail
from grafting.program import Program
from jit import suite_assembly
from jit.activation import run_raw, tier_of

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


def run_text(text: str, engine: str = "python", *, file: str = "<string>") -> Result:
    """Run one test, given as the text of its file."""
    tier_of(engine)
    found = sections(text)
    rejection_expected = "error" in found
    try:
        program, case = load(text)
        outcome, fault = run_raw(program, bytearray(case.memory), engine=engine)
    except GraftError as error:
        first = error.diagnostics[0]
        return Result(file, engine, rejection_expected and first.code != NO_TEST, first.message)
    if rejection_expected:
        reason = f"stopped: {fault}" if fault else f"an error was expected, but it ran and r0 is {outcome.r0:#x}"
        return Result(file, engine, fault is not None, reason)
    if fault is not None:
        return Result(file, engine, False, str(fault))
    if outcome.r0 != case.expected:
        return Result(file, engine, False, f"r0 is {outcome.r0:#x}, expected {case.expected:#x}")
    return Result(file, engine, True)


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
