"""The machine's tables, and the life of an activation, for whoever embeds the interpreter.

A `Machine` is a tuple of numpy arrays, so that compiled code takes it whole. It serves one activation at a time and any
number of programs. The embedder owns the arena and says where things lie in it:

1. once: `create(arena, allocate, ...)`; the machine takes its stack and context windows from `allocate`;
2. per program: `place(machine, program, allocate, seed=...)` appends records, regions and maps, and gives each handler
   a number;
3. per activation (hot functions, nothing is allocated):

       begin(m, handler, body_at, body_length, fuel, now_ns, TRUSTING)
       write_context(m, body_length, tag, badge, now_ns, op, status, slot, event, ncaps, flags)
       while run(m) == HELPER:                         # jit.interpreter.run
           number = m.control[0]["helper"]             # 1000 .. 1007 and 1010; the others never surface
           slot, length = i64(m.registers[1]), i64(m.registers[5])
           at = reach(m, u64(m.registers[4]), length, READ)   # arena offset, or < 0: then fault(..)
           resume(m, status)                           # r0; r1 to r5 are lost
       verdict = m.registers[0]; m.control[0]["instructions"]; m.counts[:9]

The states of a machine: *begun*, then each `run` ends in EXITED (r0 is the result), HELPER (go on by `resume` and
`run`), EXHAUSTED (give more in `control.fuel` and `run`, or abandon it) or FAULTED (`control.fault_*`). `begin` starts
afresh from any of them.

`CHECKING` makes every use of an undefined register or stack byte a fault and measures the stack; `TRUSTING`, for
verified programs, checks accesses only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from grafting import limits
from grafting.diagnostics import fail
from grafting.isa import CostClass
from grafting.program import Program
from jit import maps, predecode
from jit.faults import FaultKind
from jit.hot import constant, hot
from jit.maps import MAP
from jit.memory import BODY, CONTEXT, FRAMES, MAPS, READ, REGION, STACK, STACK_BYTES, STRIDED, TRACKED, WRITE, locate
from jit.words import fill_bytes, store32, store64, u64

EXITED: Final = 0
HELPER: Final = 1
EXHAUSTED: Final = 2
FAULTED: Final = 3
RUNNING: Final = -1  # inside `run` only

TRUSTING: Final = 0
CHECKING: Final = 1

FRAME_WORDS: Final = 6  # saved at a local call: return pc, r6 .. r9, undefined registers
CLASSES: Final = len(CostClass)
COUNTERS: Final = CLASSES + len(predecode.HELPER_NUMBERS)

CONTROL = np.dtype(
    [
        ("pc", np.int64),  # index into `code` of the next record
        ("depth", np.int64),  # frames in use, minus one
        ("fuel", np.int64),  # instructions that may still run
        ("instructions", np.int64),  # that have run, a faulting one included
        ("undefined", np.uint64),  # registers that hold nothing, as bits
        ("helper", np.int64),  # number of the helper that was called
        ("stack_peak", np.int64),  # bytes of all frames together, deepest so far
        ("copied", np.int64),  # bytes that helpers 1008 and 1009 have written
        ("fault_kind", np.int64),
        ("fault_pc", np.int64),  # slot within the handler
        ("fault_address", np.uint64),
        ("fault_detail", np.uint64),
        ("now_ns", np.int64),
        ("checking", np.int64),
        ("seed", np.uint64),
        ("align", np.int64),  # 7 or 0, see memory.locate
        ("code_base", np.int64),
        ("region_base", np.int64),
        ("region_count", np.int64),
        ("map_base", np.int64),
        ("map_count", np.int64),
        ("context_at", np.int64),  # arena offsets of the machine's own windows
        ("stack_at", np.int64),
        ("shadow_at", np.int64),
        ("code_used", np.int64),  # rows taken in the tables
        ("regions_used", np.int64),
        ("maps_used", np.int64),
        ("handlers_used", np.int64),
    ]
)

HANDLER = np.dtype(
    [
        ("code_base", np.int64),
        ("region_base", np.int64),
        ("region_count", np.int64),
        ("map_base", np.int64),
        ("map_count", np.int64),
        ("align", np.int64),
        ("context_bytes", np.int64),  # 0: r1 is the address of the body and r2 its length
        ("body_rights", np.int64),
        ("seed", np.uint64),
    ]
)


class Machine(NamedTuple):
    """The tables of a machine; see the module's text for who writes what."""

    arena: npt.NDArray[np.uint8]
    control: npt.NDArray[np.void]  # one row of CONTROL
    registers: npt.NDArray[np.uint64]  # r0 .. r10, and 11, always zero
    frames: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.int64]  # instructions by class, then calls by helper (predecode.HELPER_NUMBERS)
    handlers: npt.NDArray[np.void]
    code: npt.NDArray[np.void]
    regions: npt.NDArray[np.void]
    maps: npt.NDArray[np.void]


Allocate = Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a program lies: handler numbers by name, rows of its regions and maps, arena range of all that it keeps."""

    handlers: Mapping[str, int]
    region_base: int
    map_base: int
    state_at: int
    state_bytes: int


def create(
    arena: npt.NDArray[np.uint8],
    allocate: Allocate,
    *,
    slots: int,
    programs: int,
    map_rows: int,
    handlers: int,
    context_bytes: int = limits.CONTEXT_BYTES,
) -> Machine:
    """Return a machine over `arena` with room for `slots` instructions, `map_rows` maps, ... of all its programs.

    `allocate(n)` returns the arena offset of n zeroed bytes, a multiple of 8.
    """
    control = np.zeros(1, CONTROL)
    control["context_at"] = allocate(context_bytes)
    control["stack_at"] = allocate(FRAMES * STACK_BYTES)
    control["shadow_at"] = allocate(FRAMES * STACK_BYTES)
    return Machine(
        arena=arena,
        control=control,
        registers=np.zeros(16, np.uint64),
        frames=np.zeros(FRAMES * FRAME_WORDS, np.uint64),
        counts=np.zeros(COUNTERS, np.int64),
        handlers=np.zeros(handlers, HANDLER),
        code=np.zeros(slots, predecode.RECORD),
        regions=np.zeros(MAPS * (programs + 1) + map_rows, REGION),
        maps=np.zeros(map_rows + 1, MAP),
    )


def state_bytes(program: Program) -> int:
    """Return how many bytes `place` will allocate for the maps and state of `program`."""
    end = 0
    for spec in program.maps:
        end = maps.describe(spec, end)[1]
    return end


def rows_of(program: Program) -> dict[str, int]:
    """Return how many rows `place` takes for `program`, by table."""
    return {
        "code": sum(len(handler.instructions) for handler in program.handlers),
        "regions": MAPS + len(program.maps),
        "maps": len(program.maps),
        "handlers": len(program.handlers),
    }


def place(machine: Machine, program: Program, allocate: Allocate, *, seed: int) -> Placement:
    """Append a program to the tables, its maps at their initial values.

    `seed` is the secret of its hash maps. Raises GraftError G0702 if a table is full or the maps are too large.
    """
    control = machine.control[0]
    for table, rows in rows_of(program).items():
        if control[f"{table}_used"] + rows > len(getattr(machine, table)):
            raise fail("G0702", f"no room for {rows} more rows in the machine's table of {table}")
    bases = {table: int(control[f"{table}_used"]) for table in rows_of(program)}
    placement = place_at(machine, program, allocate, bases, seed=seed)
    for table, rows in rows_of(program).items():
        control[f"{table}_used"] += rows
    return placement


def place_at(
    machine: Machine, program: Program, allocate: Allocate, bases: Mapping[str, int], *, seed: int
) -> Placement:
    """Put a program into rows of the tables that the embedder has chosen, `rows_of` many from `bases` on.

    Whatever stood there is overwritten. Raises as `place` does.
    """
    size = state_bytes(program)
    if size > limits.MAP_TOTAL_BYTES:
        raise fail("G0702", f"the maps need {size} bytes, at most {limits.MAP_TOTAL_BYTES} are allowed")

    state_at = allocate(size) if size else 0
    region_base, map_base = bases["regions"], bases["maps"]
    machine.regions[region_base : region_base + MAPS + len(program.maps)] = np.zeros((), REGION)
    frames = machine.regions[region_base + STACK : region_base + STACK + FRAMES]
    frames["low"] = STACK_BYTES  # untouched: nothing to forget when a frame is left
    _place_maps(machine, program, state_at, region_base, map_base)
    numbers: dict[str, int] = {}
    code_base = bases["code"]
    for number, handler in enumerate(program.handlers, bases["handlers"]):
        machine.code[code_base : code_base + len(handler.instructions)] = predecode.records(handler)
        hook = handler.hook
        machine.handlers[number] = (
            code_base,
            region_base,
            MAPS + len(program.maps),
            map_base,
            len(program.maps),
            7 if hook.aligned else 0,
            hook.context_bytes if hook.memory == "context" else 0,
            READ | WRITE if hook.memory == "memory" and hook.context_writable else READ,
            seed & (1 << 64) - 1,
        )
        numbers[handler.name] = number
        code_base += len(handler.instructions)
    return Placement(numbers, region_base, map_base, state_at, size)


def _place_maps(machine: Machine, program: Program, state_at: int, region_base: int, map_base: int) -> None:
    at = state_at
    for index, spec in enumerate(program.maps):
        row, at = maps.describe(spec, at)
        machine.maps[map_base + index] = row
        record = machine.maps[map_base + index]
        values, stride = int(record["values"]), int(record["stride"])
        rights = READ | STRIDED | (0 if spec.read_only else WRITE)
        machine.regions[region_base + MAPS + index] = (
            values, maps.places(record) * stride, rights, stride, spec.value_size, 0, 0,
        )  # fmt: skip
        machine.arena[values : values + len(spec.initial)] = np.frombuffer(spec.initial, np.uint8)


# --- one activation ---------------------------------------------------------------------------------------------------

_R10: Final = (STACK << 32) + STACK_BYTES
_STACK_TOP: Final = constant(_R10)
_CONTEXT_ADDRESS: Final = constant(CONTEXT << 32)
_BODY_ADDRESS: Final = constant(BODY << 32)
_AFTER_BEGIN: Final = constant(0b011_1111_1101)  # all but r1 and r10
_AFTER_BEGIN_MEMORY: Final = constant(0b011_1111_1001)  # all but r1, r2 and r10
LOST_BY_CALL: Final = constant(0b11_1110)  # r1 to r5
NOT_R0: Final = constant((1 << 64) - 2)
_ZERO: Final = constant(0)
_FRAME_0: Final = 0
_UNALIGNED: Final = 0
_LONGEST: Final = constant(1 << 31)


@hot
def begin(m: Machine, handler: int, body_at: int, body_length: int, fuel: int, now_ns: int, checking: int) -> None:
    """Make the machine ready to `run` a handler over the body (or memory) at arena offset `body_at`.

    Registers that the hook leaves undefined are zero.
    """
    c = m.control[0]
    for frame in range(c["depth"] + 1):
        leave_frame(m, frame)
    h = m.handlers[handler]
    c["pc"] = h["code_base"]
    c["code_base"] = h["code_base"]
    c["region_base"] = h["region_base"]
    c["region_count"] = h["region_count"]
    c["map_base"] = h["map_base"]
    c["map_count"] = h["map_count"]
    c["align"] = h["align"]
    c["seed"] = h["seed"]
    c["depth"] = 0
    c["fuel"] = fuel
    c["instructions"] = 0
    c["helper"] = 0
    c["stack_peak"] = 0
    c["copied"] = 0
    c["fault_kind"] = 0
    c["now_ns"] = now_ns
    c["checking"] = checking
    for counter in range(COUNTERS):
        m.counts[counter] = 0
    for register in range(12):
        m.registers[register] = _ZERO
    context = m.regions[c["region_base"] + CONTEXT]
    context["base"] = c["context_at"]
    context["size"] = h["context_bytes"]
    context["rights"] = READ
    body = m.regions[c["region_base"] + BODY]
    body["base"] = body_at
    body["size"] = body_length
    body["rights"] = h["body_rights"]
    enter_frame(m, _FRAME_0)
    m.registers[10] = _STACK_TOP
    undefined = _AFTER_BEGIN
    if h["context_bytes"] == 0:
        m.registers[1] = _BODY_ADDRESS if body_length > 0 else _ZERO
        m.registers[2] = u64(body_length)
        undefined = _AFTER_BEGIN_MEMORY
    else:
        m.registers[1] = _CONTEXT_ADDRESS
    c["undefined"] = undefined if checking != 0 else _ZERO


@hot
def enter_frame(m: Machine, frame: int) -> None:
    """Map stack frame `frame` of the current program."""
    c = m.control[0]
    region = m.regions[c["region_base"] + STACK + frame]
    region["base"] = c["stack_at"] + frame * STACK_BYTES
    region["shadow"] = c["shadow_at"] + frame * STACK_BYTES
    region["size"] = STACK_BYTES
    region["low"] = STACK_BYTES
    region["rights"] = READ | WRITE | TRACKED if c["checking"] != 0 else READ | WRITE


@hot
def leave_frame(m: Machine, frame: int) -> None:
    """Unmap a stack frame; its bytes are undefined again."""
    c = m.control[0]
    region = m.regions[c["region_base"] + STACK + frame]
    low = region["low"]
    if low < STACK_BYTES:
        fill_bytes(m.arena, region["shadow"] + low, _ZERO, STACK_BYTES - low)
    region["low"] = STACK_BYTES
    region["rights"] = 0


@hot
def measure_stack(m: Machine) -> int:
    """Return, and keep as the peak, the bytes that the frames in use take together; CHECKING only."""
    c = m.control[0]
    used = 0
    for frame in range(c["depth"] + 1):
        used += STACK_BYTES - m.regions[c["region_base"] + STACK + frame]["low"]
    if used > c["stack_peak"]:
        c["stack_peak"] = used
    return used


@hot
def write_context(
    m: Machine,
    body_length: int,
    tag: int,
    badge: int,
    now_ns: int,
    op: int,
    status: int,
    slot: int,
    event: int,
    ncaps: int,
    flags: int,
) -> None:
    """Fill in the context record of `hooks.GRAFT_CONTEXT`; every value is an integer of the field's width."""
    at = m.control[0]["context_at"]
    store64(m.arena, at, _BODY_ADDRESS)
    store64(m.arena, at + 8, _BODY_ADDRESS + u64(body_length))
    store64(m.arena, at + 16, u64(tag))
    store64(m.arena, at + 24, u64(badge))
    store64(m.arena, at + 32, u64(now_ns))
    store32(m.arena, at + 40, u64(op))
    store32(m.arena, at + 44, u64(status))
    store32(m.arena, at + 48, u64(slot))
    store32(m.arena, at + 52, u64(event))
    store32(m.arena, at + 56, u64(ncaps))
    store32(m.arena, at + 60, u64(flags))


@hot
def reach(m: Machine, where: int, length: int, need: int) -> int:
    """Return the arena offset of memory that a helper was given, or a negated FaultKind. `length` >= 0, in bytes.

    A length of 0 reaches nothing and is always allowed, wherever it points; the offset is then 0.
    """
    if length == 0:
        return 0
    if u64(length) > _LONGEST:
        return -_OUT_OF_BOUNDS
    c = m.control[0]
    return locate(m.arena, m.regions, c["region_base"], c["region_count"], where, length, need, _UNALIGNED)


@hot
def resume(m: Machine, result: int) -> None:
    """Give a helper's result to the program that called it; `run` then goes on behind the call."""
    m.registers[0] = u64(result)
    forget_arguments(m)


@hot
def forget_arguments(m: Machine) -> None:
    """After a helper call: r0 is defined, r1 to r5 are not."""
    c = m.control[0]
    if c["checking"] != 0:
        c["undefined"] = (u64(c["undefined"]) | LOST_BY_CALL) & NOT_R0
    for register in range(1, 6):
        m.registers[register] = _ZERO


@hot
def fault(m: Machine, kind: int, where: int, detail: int) -> int:
    """Record that the helper call at which the machine stopped was a fault; returns FAULTED."""
    c = m.control[0]
    c["fault_kind"] = kind
    c["fault_pc"] = c["pc"] - 1 - c["code_base"]
    c["fault_address"] = u64(where)
    c["fault_detail"] = u64(detail)
    return FAULTED


_OUT_OF_BOUNDS: Final = int(FaultKind.OUT_OF_BOUNDS)
