"""Every bad example of an error code is refused with exactly that code, and every good one is accepted."""

from __future__ import annotations

import re
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner

import cli
import grafting
import verifier
from grafting import Program, codes, hooks
from grafting.assembly import assembler
from grafting.codes import Explanation, Kind
from grafting.diagnostics import GraftError
from grafting.program import Handler, MapKind, MapSpec, OpSpec, ProtocolSpec, SlotSpec
from jit import testing

BLOCK = ProtocolSpec("block", (OpSpec("read", 0, 8, 8), OpSpec("write", 1, 0, 4096)))
MAPS = (
    MapSpec("wanted", MapKind.HASH, 8, 8, 64),
    MapSpec("table", MapKind.ARRAY, 4, 16, 4),
    MapSpec(".rodata", MapKind.ARRAY, 4, 16, 1, read_only=True),
    MapSpec(".bss", MapKind.ARRAY, 4, 16, 1),
)
SLOTS = (SlotSpec("disk", BLOCK), SlotSpec("mute", BLOCK, send=False), SlotSpec("spare", BLOCK, grant=True))


def outcome(entry: Explanation, example: str) -> str | None:
    """Return the code with which an example is refused, None if it is accepted."""
    try:
        match entry.kind:
            case Kind.GRAFT:
                return graft(example)
            case Kind.ASSEMBLY:
                verifier.verify(assembled(example, entry.hook))
            case Kind.PYTHON:
                exec(compile(example, entry.code, "exec"), {"__name__": entry.code})
            case Kind.SHELL:
                return shell(example, dict(entry.files))
    except GraftError as error:
        return error.diagnostics[0].code
    return None


def graft(text: str) -> str | None:
    program = grafting.compile_graft(text)
    verifier.verify(program)
    failed = [result for result in testing.run_tests(program) if not result.passed]
    return failed[0].diagnostic(program.debug.source).code if failed else None


def assembled(text: str, hook: str) -> Program:
    raw = re.fullmatch(r"(raw_memory|raw_context)\((\d+)\)", hook)
    place = getattr(hooks, raw[1])(int(raw[2])) if raw else hooks.GRAFT_HOOKS[hook]
    handler = Handler(place.name, place, assembler.assemble(text), maps=len(MAPS))
    return Program("example", (handler,), MAPS, SLOTS)


def shell(lines: str, files: dict[str, str]) -> str | None:
    """Return the first code that is printed by the last of the commands, None if all end with 0."""
    runner = CliRunner()
    with TemporaryDirectory() as folder, chdir(folder):
        for name, text in files.items():
            Path(name).write_text(text)
        for line in lines.splitlines():
            result = runner.invoke(cli.main, line.removeprefix("$ graft ").split())
            if result.exit_code:
                assert line == lines.splitlines()[-1], result.output
                found = re.search(r"\bG0\d{3}\b", result.output)
                assert found, result.output
                return found[0]
    return None


def entry(code: str) -> Explanation:
    found = codes.explain(code)
    assert found is not None
    return found


@pytest.mark.parametrize("code", codes.all_codes())
def test_the_bad_example_is_refused_with_this_code(code: str) -> None:
    assert outcome(entry(code), entry(code).bad) == code


@pytest.mark.parametrize("code", codes.all_codes())
def test_the_good_example_is_accepted(code: str) -> None:
    assert outcome(entry(code), entry(code).good) is None
