"""Every code of an error, and what `graft explain` says of it.

The entries are data: `explanations/G01.toml` … `G09.toml`, one file a hundred-block, read when first asked for. Codes
are stable: a code is never given another meaning, and one that is no longer raised is left out for good.

    G01xx syntax      G02xx names and types    G03xx ranges, absence, layout, size    G04xx compilation, emission
    G05xx bytecode    G06xx verification       G07xx running    G08xx kernel model    G09xx files, command line

An entry holds two examples which differ in one thing: the bad one is refused with exactly this code, first of all, the
good one is accepted. `tests/test_explanations.py` executes both, and holds the entries and the code that raises errors
to each other.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

BLOCKS: Final[Mapping[str, str]] = {
    "G01": "syntax",
    "G02": "names and types",
    "G03": "ranges, absence, layout and size",
    "G04": "compilation",
    "G05": "bytecode and object files",
    "G06": "verification",
    "G07": "running",
    "G08": "the kernel model",
    "G09": "files and the command line",
}
"""The first three characters of a code -> what its block is about, in order."""

_FOLDER: Final = Path(__file__).parent / "explanations"


class Kind(Enum):
    """What an example is, and so how it is executed."""

    GRAFT = "graft"  # source text: compiled, verified, its tests run
    ASSEMBLY = "assembly"  # bytecode of one handler: assembled, verified
    PYTHON = "python"  # statements, the bad ones end with the call that raises
    SHELL = "shell"  # lines `$ graft …`, executed in a folder that holds the entry's files


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to say of one code.

    `text` tells the rule, its reason and the way out. `hook` is that of `ASSEMBLY` examples: a hook of the ABI, or
    `raw_memory(SIZE)` or `raw_context(SIZE)`. `files` are those that `SHELL` examples find: name -> content.
    """

    code: str
    title: str
    text: str
    kind: Kind
    bad: str
    good: str
    hook: str = ""
    files: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as JSON data."""
        return asdict(self) | {"kind": self.kind.value, "files": dict(self.files)}


def explain(code: str) -> Explanation | None:
    """Return the entry of a code, such as `G0301`, or None if there is no such code."""
    return _block(code[:3]).get(code) if code[:3] in BLOCKS else None


def entries(block: str) -> tuple[Explanation, ...]:
    """Return the entries of a block, such as `G03`, in order."""
    return tuple(_block(block).values())


def all_codes() -> tuple[str, ...]:
    """Return every code, in order."""
    return tuple(entry.code for block in BLOCKS for entry in entries(block))


@cache
def _block(name: str) -> Mapping[str, Explanation]:
    """Return the entries of a block, in order."""
    entries = tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    return {code: _explanation(code, entries[code]) for code in sorted(entries)}


def _explanation(code: str, entry: dict[str, Any]) -> Explanation:
    files = tuple(entry.pop("files", {}).items())
    texts = {field: str(value).strip("\n") for field, value in entry.items()}
    return Explanation(code, kind=Kind(texts.pop("kind")), files=files, **texts)
