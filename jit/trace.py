"""A run, instruction by instruction: what `graft run --trace` shows.

The numbers are the interpreter's own. It is resumed with fuel for one instruction at a time, and what differs before
and after is told: registers, memory stored to, fuel left. A helper is told with its arguments when it is called and
with its result when it has one, whoever computed that. So a traced run does what the same run does untraced.

A run may have millions of steps. It is run untraced first; if it has more than `limit`, the first and the last half of
them are told and those between run at full speed, so time and memory stay in proportion to what is shown.

      fuel   slot  instruction                       what it did
    ; list_chase.graft:22  let left = hops_left[msg.tag] else { return deliver }
    999,994     L5: r1 = map 0 ll                     r1 = map hops_left
    999,993     L7: call 1                            map_lookup_elem(hops_left, 9) = hops_left+56; r0 = hops_left+56

Names of values are the source's, as far as the object tells them (`Handler.names`): hints, which may be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from grafting import limits
from grafting.assembly.disassembler import disassemble_slot
from grafting.hooks import Arg, Helper
from grafting.isa import FRAME_POINTER, Atomic, CallHelper, Operation, Store
from grafting.program import Handler, Program, Register, StackSlot, ValueName
from jit.activation import Loop, Observe
from jit.describe import body_text, op_name, slot_name
from jit.faults import place
from jit.machine import EXHAUSTED, EXITED, FAULTED, HELPER, Machine
from jit.memory import FRAMES, HANDLE_BASE, MAPS, STACK, STACK_BYTES
from jit.runs import RawResult, RunResult
from jit.values import Types, hexadecimal

Result = RunResult | RawResult

_FILLING: Final = (1008, 1009)  # helpers that write r3 bytes at r1
_WORD: Final = 8  # bytes
_ERRNO: Final = 4095
_INSTRUCTION_COLUMN: Final = 36


@dataclass(frozen=True, slots=True)
class Written:
    """What an instruction put where: a register, or bytes of memory. `name`: what the source calls it, or ""."""

    where: str
    value: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.where} = {self.value}" + (f" ({self.name})" if self.name else "")


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction. `number` counts from 1; `line` is of the source, 0 if unknown; `depth` is of local calls.

    `fuel` is what is left after it; `call` a helper with its arguments and result, "" for any other instruction.
    """

    number: int
    pc: int
    line: int
    depth: int
    instruction: str
    fuel: int
    call: str = ""
    registers: tuple[Written, ...] = ()
    memory: tuple[Written, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the step as JSON-ready data."""
        written = {
            kind: [{"where": w.where, "value": w.value, "name": w.name or None} for w in each]
            for kind, each in (("registers", self.registers), ("memory", self.memory))
        }
        return {
            "step": self.number, "pc": self.pc, "line": self.line or None, "depth": self.depth,
            "instruction": self.instruction, "call": self.call or None, **written, "fuel": self.fuel,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trace:
    """A run with its steps in order; `skipped` of them, between the first and the last half, are left out."""

    program: Program
    handler: Handler
    result: Result
    steps: tuple[Step, ...]
    skipped: int

    def as_dict(self) -> dict[str, Any]:
        """Return the trace as JSON-ready data."""
        return {"steps": [step.as_dict() for step in self.steps], "skipped": self.skipped}

    def describe(self) -> str:
        """Return the trace for people, a line for each step, and the source lines between."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.handler.name}:"
        yield f"{'fuel left':>11}   slot  {'instruction':<{_INSTRUCTION_COLUMN}} what it did"
        line = number = 0
        for step in self.steps:
            if step.number != number + 1:
                yield f"{'…':>11}  {self.skipped:,} steps are not shown"
            if step.line not in (0, line):
                line = step.line
                yield from self._source(line)
            number = step.number
            told = [step.call] if step.call else []
            told += [str(written) for written in (*step.registers, *step.memory)]
            text = f"{'  ' * step.depth}{step.instruction}"
            yield f"{step.fuel:>11,} {f'L{step.pc}':>6}: {text:<{_INSTRUCTION_COLUMN}} {'; '.join(told)}".rstrip()

    def _source(self, line: int) -> Iterator[str]:
        source = self.program.debug.source
        if source is not None:
            yield f"; {source.filename}:{line}  {source.line_text(line).strip()}"


def trace(program: Program, run: Callable[[Observe | None], Result], limit: int | None = None) -> Trace:
    """Return what `run` does, at most `limit` (>= 1; None: `limits.TRACE_STEPS`) of its steps being told.

    More than `limits.TRACE_STEPS_MAX` are never told.

    `run(observe)` must run a handler of `program` in the interpreter from a fresh state, each time the same way, as
    `runs.run_once` does. Raises what `run` raises.
    """
    limit = limits.TRACE_STEPS if limit is None else min(limit, limits.TRACE_STEPS_MAX)
    total = _instructions(run(None))
    first = -(-limit // 2)
    recorder = _Recorder(program, range(first, max(first, total - (limit - first))))
    result = run(recorder.observe)
    return Trace(program, recorder.handler, result, tuple(recorder.steps), len(recorder.skipped))


def _instructions(result: Result) -> int:
    return result.instructions if isinstance(result, RawResult) else result.activation.instructions


class _Recorder:
    """Stands in for the interpreter's loop and takes down what each instruction does, but for those in `skipped`."""

    def __init__(self, program: Program, skipped: range) -> None:
        self.program, self.skipped = program, skipped
        self.handler = program.handlers[0]
        self.steps: list[Step] = []
        self._types = Types(program.debug.types)
        self._allowed = -1  # fuel of the whole run; not begun yet
        self._waiting = False  # the last step is a helper that the embedder answers

    def observe(self, interpret: Loop) -> Loop:
        """Return what to run in place of `interpret`."""
        return lambda m: self._run(m, interpret)

    def _run(self, m: Machine, interpret: Loop) -> int:
        control = m.control[0]
        if self._allowed < 0:
            self._allowed = int(control["fuel"])
            bases = [int(base) for base in m.handlers["code_base"]]
            self.handler = self.program.handlers[bases.index(int(control["code_base"]))]
        if self._waiting:
            self._answered(m)
        while True:
            done = int(control["instructions"])
            left = self._allowed - done
            if left <= 0:
                return EXHAUSTED
            if done in self.skipped:
                control["fuel"] = min(left, self.skipped.stop - done)
                outcome = interpret(m)
            else:
                outcome = self._step(m, interpret, done + 1)
            if outcome != EXHAUSTED:
                return outcome

    def _step(self, m: Machine, interpret: Loop, number: int) -> int:
        """Run one instruction and take it down."""
        control, handler = m.control[0], self.handler
        pc, depth = self._slot(m), int(control["depth"])
        op = handler.operations[pc]
        before, undefined = _registers(m), int(control["undefined"])
        target = self._target(op, before)
        call = self._call(m, op, before)
        control["fuel"] = 1
        outcome = interpret(m)
        info = handler.line_at(pc)
        step = Step(
            number,
            pc,
            info.line if info else 0,
            depth,
            disassemble_slot(handler.instructions, pc, op),
            self._allowed - number,
        )
        if outcome == FAULTED:
            self.steps.append(replace(step, call=f"{call} faults" if call else "", memory=()))
            return outcome
        self._waiting = outcome == HELPER
        if call and not self._waiting:
            call = self._with_result(op, call, int(m.registers[0]))
        names = {} if outcome == EXITED else handler.names_at(self._slot(m))
        registers = () if self._waiting else self._changed(m, before, undefined, names)
        memory = () if target is None else self._stored(m, *target, names)
        self.steps.append(replace(step, call=call, registers=registers, memory=memory))
        return outcome

    def _answered(self, m: Machine) -> None:
        """Complete the step of a helper that the embedder has served meanwhile."""
        self._waiting = False
        last = self.steps[-1]
        result = int(m.registers[0])
        names = self.handler.names_at(self._slot(m))
        call = self._with_result(self.handler.operations[last.pc], last.call, result)
        written = (self._register(0, result, names),)
        self.steps[-1] = replace(last, call=call, registers=written)

    # --- what was written --------------------------------------------------------------------------------------------

    def _slot(self, m: Machine) -> int:
        return int(m.control[0]["pc"] - m.control[0]["code_base"])

    def _changed(
        self, m: Machine, before: Sequence[int], undefined: int, names: dict[Any, ValueName]
    ) -> tuple[Written, ...]:
        """Return the registers that hold another value than before, or one for the first time."""
        now = int(m.control[0]["undefined"])
        return tuple(
            self._register(number, value, names)
            for number, value in enumerate(_registers(m))
            if not now >> number & 1 and (value != before[number] or undefined >> number & 1)
        )

    def _register(self, number: int, value: int, names: dict[Any, ValueName]) -> Written:
        return Written(f"r{number}", self._word(value), _name(names.get(Register(number))))

    def _target(self, op: Operation, registers: Sequence[int]) -> tuple[int, int] | None:
        """Return address and length of the memory that an instruction stores to, maps by their helpers left out."""
        match op:
            case Store(size=size, base=base, offset=offset) | Atomic(size=size, base=base, offset=offset):
                return registers[base] + offset & (1 << 64) - 1, size
            case CallHelper(number) if number in _FILLING:
                return registers[1], registers[3]
            case _:
                return None

    def _stored(self, m: Machine, where: int, size: int, names: dict[Any, ValueName]) -> tuple[Written, ...]:
        data = _peek(m, where, size)
        if not data:
            return ()
        depth = int(m.control[0]["depth"])
        offset = where - (STACK + depth << 32) - STACK_BYTES
        text = self._word(int.from_bytes(data, "little")) if size <= _WORD else hexadecimal(data)
        return (Written(f"{size} byte{'s' if size > 1 else ''} at {self._place(where)}", text,
                        _name(names.get(StackSlot(offset)))),)  # fmt: skip

    # --- words -------------------------------------------------------------------------------------------------------

    def _word(self, value: int) -> str:
        """Return a word as an address where it looks like one, else as a number."""
        region = value >> 32
        if 0 <= region - HANDLE_BASE < len(self.program.maps):
            return f"map {self.program.maps[region - HANDLE_BASE].name}"
        if 0 < region < STACK + FRAMES or 0 <= region - MAPS < len(self.program.maps):
            return self._place(value)
        if value >= (1 << 64) - (1 << 31):
            return str(value - (1 << 64))
        return str(value) if region == 0 else f"{value:#x}"

    def _place(self, where: int) -> str:
        index = (where >> 32) - MAPS
        if 0 <= index < len(self.program.maps):
            return f"{self.program.maps[index].name}{where & 0xFFFF_FFFF:+d}"
        return place(where)

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _call(self, m: Machine, op: Operation, registers: Sequence[int]) -> str:
        """Return a helper call in words, without its result; "" for any other instruction."""
        if not isinstance(op, CallHelper):
            return ""
        helper = self.handler.hook.helper(op.number)
        if helper is None:
            return f"helper {op.number}"
        arguments = ", ".join(self._argument(m, helper, n, registers) for n in range(1, len(helper.args) + 1))
        return f"{helper.name}({arguments})"

    def _argument(self, m: Machine, helper: Helper, number: int, registers: Sequence[int]) -> str:
        value = registers[number]
        slots = self.program.slots
        handle = (registers[1] >> 32) - HANDLE_BASE
        spec = self.program.maps[handle] if 0 <= handle < len(self.program.maps) else None
        match helper.args[number - 1]:
            case Arg.MAP if spec is not None:
                return spec.name
            case Arg.KEY if spec is not None:
                return self._typed(spec.key_type, _peek(m, value, spec.key_size), value)
            case Arg.VALUE if spec is not None:
                return self._typed(spec.value_type, _peek(m, value, spec.value_size), value)
            case Arg.SLOT:
                return slot_name(self.program, value)
            case Arg.OP:
                return op_name(slots[registers[1]] if registers[1] < len(slots) else None, value)
            case Arg.READ:
                data = _peek(m, value, registers[number + 1])
                return self._word(value) if not data else f"{self._place(value)}: {body_text(data)}"
            case _:
                return self._word(value)

    def _typed(self, type_: str, data: bytes, where: int) -> str:
        return self._types.describe(type_, data) if data else self._word(where)

    def _with_result(self, op: Operation, call: str, result: int) -> str:
        assert isinstance(op, CallHelper)
        signed = result - (1 << 64) if result >> 63 else result
        return f"{call} = {signed if -_ERRNO <= signed <= _ERRNO else self._word(result)}"


def _registers(m: Machine) -> list[int]:
    return [int(word) for word in m.registers[: FRAME_POINTER + 1]]


def _name(found: ValueName | None) -> str:
    if found is None:
        return ""
    return f"{found.name}{-found.plus:+d}" if found.plus else found.name


def _peek(m: Machine, where: int, size: int) -> bytes:
    """Return the bytes at a virtual address, for showing only: it leaves no trace in the machine. b"" if none are."""
    control = m.control[0]
    number, offset = where >> 32, where & 0xFFFF_FFFF
    if number >= control["region_count"]:
        return b""
    region = m.regions[control["region_base"] + number]
    if offset + size > region["size"] or not region["rights"]:
        return b""
    at = int(region["base"]) + offset
    return m.arena[at : at + size].tobytes()
