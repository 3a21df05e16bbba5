"""A kernel and one input in a machine's memory, where every engine finds them and leaves its answer."""

from __future__ import annotations

import numpy as np

from benchmarks.kernels import Answer, Input, Kernel
from jit import machine
from jit.machine import TRUSTING, Machine
from jit.state import GraftState

FUEL = 1 << 40


class Stage:
    """What the engines share: the same machine, the same bytes. `reset` before a run whose answer is looked at."""

    def __init__(self, kernel: Kernel, given: Input) -> None:
        self.kernel, self.given = kernel, given
        self.state = GraftState(kernel.program)
        self.handler = kernel.program.handlers[0]
        self.number = self.state.placement.handlers[self.handler.name]
        self.clean = self.state.snapshot()
        self.reset()

    @property
    def machine(self) -> Machine:
        """The machine's tables."""
        return self.state.machine

    def reset(self) -> None:
        """Forget what runs have left, and begin an activation."""
        self.state.restore(self.clean)
        body, at, m = self.given.body, self.state.body_at, self.machine
        self.state.arena[at : at + len(body)] = np.frombuffer(body, np.uint8)
        machine.begin(m, self.number, at, len(body), FUEL, 0, TRUSTING)
        if not self.kernel.raw:
            event = self.handler.hook.event
            assert event is not None
            machine.write_context(m, len(body), self.given.tag, 0, 0, 0, 0, 0, event.value, 0, 0)

    def pointers(self) -> tuple[int, ...]:
        """Return the arguments of native code (`jit.native.lowering`)."""
        m, arena = self.machine, self.state.arena.ctypes.data
        control = m.control[0]
        return (
            arena + int(control["context_at"]),
            arena + self.state.body_at,
            arena + int(control["stack_at"]),
            arena + self.state.placement.state_at,
            m.registers.ctypes.data,
            m.frames.ctypes.data,
            m.control.ctypes.data,
            m.counts.ctypes.data,
        )

    def answer(self) -> Answer:
        """Return what the last run left."""
        if self.kernel.raw:
            return {"r0": int(self.machine.registers[0])}
        found: dict[str, object] = {name: self.state.variables[name] for name in self.state.variables}
        return found | {name: dict(view.items()) for name, view in self.state.maps.items()}
