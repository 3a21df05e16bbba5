"""The C that engines are measured against: compiled by gcc where there is one, for the tables and offsets of here.

`kernel` gives a kernel's C function, with the arguments of native code; `interpreter` the switch interpreter of
`kernels/interpreter.c`. Both include headers that are generated from the tables of `jit`, so that C and Python work on
the same bytes.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.kernels import DIRECTORY, Kernel
from jit import machine, maps, memory, predecode
from jit.state import GraftState

FAST = ("-O3", "-march=native")
PLAIN = ("-O2",)
_COMMON = tuple("-std=gnu11 -fno-strict-aliasing -shared -fPIC".split())
_TYPES = {"i": "int", "u": "uint"}


def unavailable() -> str:
    """Return why C cannot be compiled here, or the empty string."""
    return "" if shutil.which("gcc") else "there is no gcc (apt-get install gcc)"


def version() -> str:
    """Return the compiler's name and version."""
    return subprocess.run(["gcc", "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]


def kernel(subject: Kernel) -> ctypes.CDLL:
    """Return the library that has the kernel's function `kernel`."""
    return _library(subject.c_source, FAST, "layout.h", _layout(subject))


@functools.cache
def interpreter() -> ctypes.CDLL:
    """Return the library that has the interpreter's function `activations`."""
    return _library(DIRECTORY / "interpreter.c", PLAIN, "tables.h", _tables())


def address(library: ctypes.CDLL, name: str) -> int:
    """Return the address of a function."""
    found = ctypes.cast(library[name], ctypes.c_void_p).value
    assert found is not None
    return found


def _library(source: Path, options: tuple[str, ...], header: str, content: str) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / header).write_text(content)
        out = Path(folder) / "code.so"
        command = ["gcc", *options, *_COMMON, f"-I{folder}", f"-I{DIRECTORY}", str(source), "-o", str(out)]
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(out))


def _layout(subject: Kernel) -> str:
    """Return where a kernel's state lies, as offsets from the start of its storage."""
    state = GraftState(subject.program)
    rows = {spec.name: state.machine.maps[state.placement.map_base + n] for n, spec in enumerate(subject.program.maps)}
    start = state.placement.state_at
    lines = [f"#define CONTROL_seed {_offset(machine.CONTROL, 'seed')}"]
    for name in state.variables:
        variable = state.variables.variable(name)
        lines.append(f"#define AT_{name} {int(rows[variable.section]['values']) - start + variable.offset}")
    for name in state.maps:
        lines.append(f"#define MAP_{name}_head {int(rows[name]['head']) - start}")
        lines += [f"#define MAP_{name}_{field} {int(rows[name][field])}" for field in ("buckets", "entries")]
    return "\n".join(lines) + "\n"


def _tables() -> str:
    """Return the tables' rows as structures, and the numbers of operations."""
    structures = {
        "record": predecode.RECORD, "region": memory.REGION, "handler": machine.HANDLER, "control": machine.CONTROL,
        "map": maps.MAP,
    }  # fmt: skip
    numbers = [(name, value) for name, value in vars(predecode).items() if name.isupper() and isinstance(value, int)]
    operations = ", ".join(f"{name} = {value}" for name, value in numbers if value < 256)
    text = [_structure(name, dtype) for name, dtype in structures.items()]
    return "\n".join([*text, f"enum {{ COUNTERS = {machine.COUNTERS} }};", f"enum {{ {operations} }};", ""])


def _structure(name: str, dtype: np.dtype[np.void]) -> str:
    assert dtype.names is not None
    assert dtype.fields is not None
    fields = " ".join(f"{_TYPES[dtype.fields[field][0].kind]}{8 * dtype.fields[field][0].itemsize}_t {field};"
                      for field in dtype.names)  # fmt: skip
    return f'struct {name} {{ {fields} }};\n_Static_assert(sizeof(struct {name}) == {dtype.itemsize}, "{name}");'


def _offset(dtype: np.dtype[np.void], name: str) -> int:
    assert dtype.fields is not None
    return int(dtype.fields[name][1])
