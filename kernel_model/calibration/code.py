"""The engines' primitives: instructions by class, helpers of maps, and a whole activation.

Microkernels in assembly that no sample contains, each with `UNROLLED` times the same few instructions in a loop. Every
instruction depends on the one before through values that are unknown when the code is compiled, so no compiler may
fold them, and a class is priced by its latency, as the profiles' published figures are. What a class costs is what its
microkernel takes beyond one without a body, less what the other classes in it cost:

    alu      add, exclusive or                    mul, div  one alu each beside it
    load     a chase through 256 bytes, 3 alu     store     to a place that is computed, 3 alu
    atomic   adds in memory                       jump      never taken, one alu beside it
    call     a local function of one addition, of which `call` and `exit` get half each

A helper is priced by what a handler takes that calls it 120 times more often than another, less what it takes to begin
the instructions around the call. The loops are those of `jit.bench`, which first has the engines agree on every result.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import grafting
import jit
import jit.bench
from grafting import Program, hooks
from grafting.isa import CostClass, cost_class
from kernel_model.calibration.samples import Probe, Series, in_rounds
from kernel_model.calibration.system import one_core

UNROLLED: Final = 16
LOOPS: Final = 16
BATCH_NS: Final = 1_000_000
WIDTH: Final = 4  # instructions that a processor begins in a cycle, at least
MEMORY: Final = 256
ENGINES: Final = {"interpreted": "numba", "native": "native"}
"""What the model calls an engine, and `jit.bench`."""

_HEAD = """
    r0 = 0
    r2 = *(u64 *)(r1 + 0)
    r3 = *(u64 *)(r1 + 8)
    r4 = *(u64 *)(r1 + 16)
    r5 = *(u64 *)(r1 + 24)
    r3 |= 3
    r7 = 0
    r8 = r2
again:
"""
_FOOT = """
    r7 += 1
    if r7 < {loops} goto again
    r0 = {result}
    exit
"""
_BODIES: Final[Mapping[str, str]] = {
    "alu": "r2 += r4\nr2 ^= r5\nr2 += r3\nr2 ^= r4\n",
    "jump": "r2 += r3\nif r2 == r5 goto out\n",
    "mul": "r2 *= r3\nr2 ^= r4\n",
    "div": "r2 /= r3\nr2 ^= r4\n",
    "load": "r2 &= 0xf8\nr6 = r1\nr6 += r2\nr2 = *(u64 *)(r6 + 0)\n",
    "store": "r2 += r3\nr2 &= 0xf8\nr6 = r1\nr6 += r2\n*(u64 *)(r6 + 0) = r4\n",
    "atomic": "lock *(u64 *)(r1 + 64) += r3\n",
    "call": "r1 = r8\ncall next\nr8 = r0\n",
}
"""By the class that each prices, in the order in which they are solved: one more unknown at a time."""
_LINES_OF_HEAD: Final = 8
_TAIL: Final = {"jump": "out:\n    r0 = 1\n    exit\n", "call": "next:\n    r0 = r1\n    r0 += 1\n    exit\n"}

_HELPERS: Final[Mapping[str, str]] = {
    "map_lookup": "let value = table[i] else { return consume }\nsum += value",
    "map_update": "table[i] = i else { return deliver }",
    "map_delete": "delete table[i]",
}
_FEW, _MANY = 8, 128
_HANDLER: Final = """
graft calibrate

map table: hash<u64, u64, 256>
state total: u64

on reply(msg) {{
    let mut sum = 0
    for i in 0..128 {{
        table[i] = i else {{ return deliver }}
    }}
    for i in 0..{calls} {{
        {statement}
    }}
    total = sum
    return deliver
}}
"""
_EMPTY: Final = "graft calibrate\non reply(msg) { return deliver }\n"


@dataclass(frozen=True, slots=True)
class Microkernel:
    """A program that prices a class, and how many instructions of each class one run executes."""

    name: str
    program: Program
    counts: Mapping[CostClass, int]


def microkernels() -> list[Microkernel]:
    """Return one without a body, then one for each class."""
    return [_microkernel("", ""), *(_microkernel(name, body) for name, body in _BODIES.items())]


def _microkernel(name: str, body: str) -> Microkernel:
    foot = _FOOT.format(loops=LOOPS, result="r8" if name == "call" else "r2")
    text = _HEAD + body * UNROLLED + foot + _TAIL.get(name, "")
    program = Program.from_assembly(text, hooks.raw_memory(MEMORY), name=f"calibrate-{name or 'nothing'}")
    operations = list(program.handlers[0].operations.values())
    size = body.count("\n") * UNROLLED
    inner = operations[_LINES_OF_HEAD : _LINES_OF_HEAD + size]
    callee = operations[-3:] * UNROLLED if name == "call" else []
    counts = Counter(cost_class(op) for op in (*inner, *callee))
    return Microkernel(name, program, {kind: count * LOOPS for kind, count in counts.items()})


def probes() -> dict[str, Probe]:
    """Make all probes: every microkernel in both engines, handlers with few and with many calls, an empty handler."""
    found = {
        f"{engine} {kernel.name}": _probe(kernel.program, tier)
        for engine, tier in ENGINES.items()
        for kernel in microkernels()
    }
    for name, statement in _HELPERS.items():
        for calls in (_FEW, _MANY):
            found[f"{name} {calls}"] = _probe(_handler(statement, calls), "native")
    found["activate_user"] = _probe(grafting.compile_graft(_EMPTY), "native")
    return found


def _handler(statement: str, calls: int) -> Program:
    return grafting.compile_graft(_HANDLER.format(calls=calls, statement=statement))


def _probe(program: Program, tier: str) -> Probe:
    """Return a probe whose batches take about `BATCH_NS`."""
    ((_, fresh),) = jit.bench.inputs(program)
    run = jit.bench.prepared(program, fresh, tier)
    once = min(Probe(run, 16).batch() for _ in range(3))
    return Probe(run, max(1, round(BATCH_NS / once)))


def measure(rounds: int) -> dict[str, Series]:
    """Return the primitives of the module's text by name, ns, one value a round."""
    with one_core():
        return derived(in_rounds(probes(), rounds))


def derived(raw: Mapping[str, Series]) -> dict[str, Series]:
    """Return the primitives of the module's text from what the probes gave, round by round."""
    kernels, found = microkernels(), dict[str, list[float]]()
    for number in range(len(raw["activate_user"])):
        now = {name: series[number] for name, series in raw.items()}
        for engine in ENGINES:
            times = {kernel.name: now[f"{engine} {kernel.name}"] for kernel in kernels}
            for kind, value in _solved(kernels, times).items():
                found.setdefault(f"{engine}_{kind}", []).append(value)
        begun = found["native_alu"][-1] / WIDTH
        for name, statement in _HELPERS.items():
            beyond = (now[f"{name} {_MANY}"] - now[f"{name} {_FEW}"]) / (_MANY - _FEW)
            found.setdefault(name, []).append(max(0.0, beyond - _around(statement) * begun))
    return {"activate_user": raw["activate_user"], **{name: tuple(values) for name, values in found.items()}}


def _solved(kernels: Sequence[Microkernel], times: Mapping[str, float]) -> dict[str, float]:
    """Return the price of each class, ns: what its microkernel takes beyond the empty one, less what is known.

    Where the processor does an instruction beside others it takes no time of its own; it is then priced as one of the
    `WIDTH` that are begun in a cycle, an addition being a cycle.
    """
    prices: dict[CostClass, float] = {}
    for kernel in kernels[1:]:
        beyond = times[kernel.name] - times[""]
        unknown = [kind for kind in kernel.counts if kind not in prices]
        known = sum(count * prices[kind] for kind, count in kernel.counts.items() if kind in prices)
        share = max(0.0, beyond - known) / sum(kernel.counts[kind] for kind in unknown)
        prices |= dict.fromkeys(unknown, max(share, prices.get(CostClass.ALU, 0.0) / WIDTH))
    return {kind.name.lower(): price for kind, price in prices.items()}


@functools.cache
def _around(statement: str) -> float:
    """Return how many instructions a handler executes around each call of the helper."""
    few, many = (
        jit.activate(program, "reply", jit.Message(), jit.GraftState(program), engine="python").instructions
        for program in (_handler(statement, calls) for calls in (_FEW, _MANY))
    )
    return (many - few) / (_MANY - _FEW) - 1
