"""What a graft remembers from one activation to the next: its maps, its state variables, its timers, what it holds.

    state = GraftState(program)
    state.maps["wanted"][7] = 42
    before = state.snapshot()
    jit.activate(program, "reply", Message(tag=7, body=node), state, slots=None, clock=0)
    state.changes(before)                   # (Change("wanted[7]", "42", None),)

A state belongs to one program and holds the machine that runs it. Maps and state variables lie in one range of the
arena, so a snapshot is a copy of that range. The initial values are those of the object.

State variables are found by name through the object's symbols and BTF, which are hints: names may be missing, the bytes
are there under the name of their section (`section`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from grafting import limits
from grafting.diagnostics import fail
from grafting.program import Program
from grafting.spelling import nearest
from jit import machine
from jit.dispatch import program_of
from jit.mapview import MapView, scratch_bytes
from jit.memory import FRAMES, STACK_BYTES
from jit.values import Types, Value
from jit.variables import StateVariable, variables_of

if TYPE_CHECKING:
    from verifier import Verified

WORD: Final = 8
_Content = tuple[str, bytes]  # name of the type, value


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state at one moment; compares equal to another of an equal state."""

    memory: bytes
    timers: tuple[tuple[int, int], ...]
    held: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two states, in the source's words; None: not there."""

    what: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        return f"{self.what}: {self.before or '(none)'} → {self.after or '(none)'}"


class Variables(Mapping[str, Value]):
    """The state variables by name: reading gives a copy of the value, `variables[name] = value` sets it."""

    def __init__(self, state: GraftState, found: Mapping[str, StateVariable]) -> None:
        self._state, self._found = state, found

    def variable(self, name: str) -> StateVariable:
        """Return where a variable lies; raises KeyError."""
        return self._found[name]

    def raw(self, name: str) -> bytes:
        """Return the bytes of a variable."""
        variable = self._found[name]
        return self._state.section(variable.section)[variable.offset : variable.offset + variable.size]

    def __getitem__(self, name: str) -> Value:
        return self._state.types.decode(self._found[name].type, self.raw(name))

    def __setitem__(self, name: str, value: Value) -> None:
        variable = self._found[name]
        data = self._state.types.encode(variable.type, variable.size, value, f"`{name}`")
        self._state.write_section(variable.section, variable.offset, data)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class GraftState:
    """The state of one program, at first as the object says. `seed` is the secret of its hash maps.

    `maps`: views by name. `timers`: due time in ns by id. `held`: how many
    operations are held under each tag. Raises GraftError G0702 if the program's maps are too large.
    """

    def __init__(self, program: Program | Verified, *, seed: int = 1) -> None:
        self.program = program_of(program)
        self.types = Types(self.program.debug.types)
        self.timers: dict[int, int] = {}
        self.held: Counter[int] = Counter()
        self._build(seed)
        views = {
            spec.name: MapView(spec, self.arena, self._row(index), seed, self._scratch, self.types)
            for index, spec in enumerate(self.program.maps)
        }
        self._sections = {name: view for name, view in views.items() if view.spec.is_data}
        self.maps: Mapping[str, MapView] = MappingProxyType(
            {name: view for name, view in views.items() if not view.spec.is_data}
        )

    @cached_property
    def variables(self) -> Variables:
        """The state variables by name, found when they are first asked for."""
        return Variables(self, variables_of(self.program))

    def _build(self, seed: int) -> None:
        program = self.program
        hooks = [handler.hook for handler in program.handlers]
        context = max([limits.CONTEXT_BYTES, *(hook.context_bytes for hook in hooks if hook.memory == "context")])
        body = max([limits.BODY_BYTES, *(hook.context_bytes for hook in hooks if hook.memory == "memory")])
        scratch = max([WORD, *map(scratch_bytes, program.maps)])
        stack = 2 * FRAMES * STACK_BYTES
        size = WORD + stack + sum(map(_round, (context, body, scratch, machine.state_bytes(program))))
        self.arena: npt.NDArray[np.uint8] = np.zeros(size, np.uint8)
        self._used = WORD
        self.machine = machine.create(
            self.arena,
            self._allocate,
            slots=sum(len(handler.instructions) for handler in program.handlers),
            programs=1,
            map_rows=len(program.maps),
            handlers=len(program.handlers),
            context_bytes=context,
        )
        self.body_at = self._allocate(body)
        self._scratch = self._allocate(scratch)
        self.placement = machine.place(self.machine, program, self._allocate, seed=seed)

    def _allocate(self, size: int) -> int:
        at = self._used
        self._used += _round(size)
        return at

    def _row(self, index: int) -> np.void:
        row: np.void = self.machine.maps[self.placement.map_base + index]
        return row

    def map(self, name: str) -> MapView:
        """Return the map called `name`; raises GraftError G0704 with the nearest name if there is none."""
        if name in self.maps:
            return self.maps[name]
        near = nearest(name, self.maps)
        helps = (f"did you mean `{near}`?",) if near else (f"the maps are {', '.join(self.maps) or 'none'}",)
        raise fail("G0704", f"there is no map `{name}` in `{self.program.name}`", helps=helps)

    # --- data sections -----------------------------------------------------------------------------------------------

    def section(self, name: str) -> bytes:
        """Return the bytes of a data section, `.bss`, `.data` or `.rodata`; raises GraftError G0704."""
        view = self._section(name)
        return view.raw(bytes(view.spec.key_size)) or b""

    def write_section(self, name: str, offset: int, data: bytes) -> None:
        """Replace bytes of a data section; raises GraftError G0704 or, out of its bounds, G0706."""
        view = self._section(name)
        if not 0 <= offset <= offset + len(data) <= view.spec.value_size:
            raise fail("G0706", f"bytes {offset} to {offset + len(data)} are not within `{name}`")
        whole = bytearray(self.section(name))
        whole[offset : offset + len(data)] = data
        view.set_raw(bytes(view.spec.key_size), bytes(whole))

    def _section(self, name: str) -> MapView:
        if name not in self._sections:
            raise fail("G0704", f"`{self.program.name}` has no data section `{name}`")
        return self._sections[name]

    # --- snapshots ---------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return a copy of all that the graft remembers."""
        at, size = self.placement.state_at, self.placement.state_bytes
        timers, held = tuple(sorted(self.timers.items())), tuple(sorted((+self.held).items()))
        return Snapshot(self.arena[at : at + size].tobytes(), timers, held)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this state."""
        at, size = self.placement.state_at, self.placement.state_bytes
        self.arena[at : at + size] = np.frombuffer(snapshot.memory, np.uint8)
        self.timers = dict(snapshot.timers)
        self.held = Counter(dict(snapshot.held))

    def changes(self, before: Snapshot) -> tuple[Change, ...]:
        """Return what is different from a snapshot of this state, in order of declaration and key."""
        now, new = self.snapshot(), self._contents()
        self.restore(before)
        old = self._contents()
        self.restore(now)
        changed = [what for what in {**old, **new} if old.get(what) != new.get(what)]
        return tuple(self._change(what, old.get(what), new.get(what)) for what in changed)

    def _change(self, what: str, old: _Content | None, new: _Content | None) -> Change:
        before, after = (None if c is None else self.types.describe(*c) for c in (old, new))
        if before == after and old and new:  # long values are shortened for people
            before, after = old[1].hex(), new[1].hex()
        return Change(what, before, after)

    def _contents(self) -> dict[str, _Content]:
        """Return all that can change, in the source's words; arrays and unnamed data piece by piece."""
        found: dict[str, _Content] = {}
        for view in self.maps.values():
            for key, value in view.raw_items():
                place = f"{view.spec.name}[{self.types.describe(view.spec.key_type, key)}]"
                found[place] = (view.spec.value_type, value)
        named = {self.variables.variable(name).section for name in self.variables}
        for name in self.variables:
            found.update(self.types.elements(name, self.variables.variable(name).type, self.variables.raw(name)))
        for name, view in self._sections.items():
            if name not in named and not view.spec.read_only:
                data = self.section(name)
                found.update((f"{name}+{at}", ("", data[at : at + WORD])) for at in range(0, len(data), WORD))
        found.update((f"timer {id_}, due at ns", ("u64", _word(due))) for id_, due in sorted(self.timers.items()))
        found.update((f"held with tag {tag}", ("u64", _word(n))) for tag, n in sorted((+self.held).items()))
        return found


def _word(value: int) -> bytes:
    return value.to_bytes(WORD, "little")


def _round(size: int) -> int:
    return (size + 7) // 8 * 8
