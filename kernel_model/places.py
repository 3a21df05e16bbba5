"""Where attachments lie: rows of the kernel's and of the machine's tables, and bytes for maps, used again and again.

A table is never made smaller and rows never move, so what a detached graft leaves is given to one that comes later:
first fit among the free ranges, which are joined with their neighbours. A thousand attachments one after the other take
the room of one. Two attachments of a program may share its place (`Kernel.load(maps=)`); the last one to go gives it
back. Where accounts by graft are kept (`vectors`), each keeps its rows.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import jit.machine
from grafting.program import Program
from jit.machine import Placement
from kernel_model.core import tables
from kernel_model.core.tables import NONE

if TYPE_CHECKING:
    from kernel_model.core.storage import Storage
    from kernel_model.handles import Attachment

ALIGNMENT = 16  # of bytes in the arena
BYTES = "bytes"


class Ranges:
    """Free ranges (at, size) of one table, in order, none touching the next."""

    def __init__(self) -> None:
        self.free: list[tuple[int, int]] = []

    def take(self, size: int) -> int | None:
        """Return the first row of a free range of this size, or None."""
        for index, (at, room) in enumerate(self.free):
            if room >= size:
                self.free[index : index + 1] = [(at + size, room - size)] if room > size else []
                return at
        return None

    def give(self, at: int, size: int) -> None:
        """Make a range free."""
        insort(self.free, (at, size))
        joined: list[tuple[int, int]] = []
        for start, room in self.free:
            if joined and sum(joined[-1]) == start:
                joined[-1] = (joined[-1][0], joined[-1][1] + room)
            else:
                joined.append((start, room))
        self.free = joined


class Places:
    """The places of all attachments of one kernel."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.ranges: dict[str, Ranges] = {}
        self.users: Counter[int] = Counter()  # attachments by the first region row of their placement
        self.rows: dict[int, dict[str, int]] = {}  # of the machine, by the same
        self.present: defaultdict[int, list[Attachment]] = defaultdict(list)  # by process
        self.leaving: list[Attachment] = []
        self.scratch: dict[tuple[int, str], tuple[int, int]] = {}  # of map views: offset and size

    def _ranges(self, table: str) -> Ranges:
        return self.ranges.setdefault(table, Ranges())

    # --- taking -------------------------------------------------------------------------------------------------------

    def take(self, table: str, rows: int) -> int:
        """Return the first of so many zeroed rows of one of the kernel's tables."""
        at = self._ranges(table).take(rows)
        if at is None:
            return self.storage.add(table, rows)
        getattr(self.storage.tables, table)[at : at + rows] = 0
        return at

    def allocate(self, size: int) -> int:
        """Return the arena offset of so many zeroed bytes."""
        size = -(-size // ALIGNMENT) * ALIGNMENT
        at = self._ranges(BYTES).take(size)
        if at is None:
            return self.storage.allocate(size)
        self.storage.tables.arena[at : at + size] = 0
        return at

    def graft(self, **fields: int) -> int:
        """Return the row of a new graft."""
        at = self._ranges("graft").take(1)
        if at is None:
            return self.storage.add_graft(**fields)
        row = self.storage.tables.graft[at]
        queues, footprint = int(row["queues"]), int(row["footprint"])
        self.storage.tables.graft[at : at + 1] = 0
        row["next"] = row["served_next"] = NONE
        row["queues"], row["footprint"] = queues, footprint
        for name, value in fields.items():
            row[name] = value
        return at

    def place(self, program: Program, seed: int) -> Placement:
        """Return a place in the machine with `program` in it. Raises GraftError G0702 if its maps are too large."""
        bases = {table: self._machine_rows(table, rows) for table, rows in jit.machine.rows_of(program).items()}
        machine: Any = self.storage.tables.machine
        placement = jit.machine.place_at(machine, program, self.allocate, bases, seed=seed)
        self.rows[placement.region_base] = bases
        return placement

    def _machine_rows(self, table: str, rows: int) -> int:
        """Return the first of so many free rows of one of the machine's tables, which grows if there are none."""
        at = self._ranges(f"machine {table}").take(rows) if rows else 0
        if at is not None:
            return at
        control = self.storage.tables.machine.control[0]
        at = int(control[f"{table}_used"])
        if at + rows > len(getattr(self.storage.tables.machine, table)):
            self.storage.grow_machine(table, at + rows)
        control[f"{table}_used"] += rows
        return at

    def scratch_for(self, map_base: int, name: str, size: int) -> int:
        """Return scratch bytes for the view of a map."""
        key = (map_base, name)
        if key not in self.scratch:
            self.scratch[key] = self.allocate(size), size
        return self.scratch[key][0]

    def settle(self, attachment: Attachment) -> None:
        """An attachment has taken its place."""
        self.present[attachment.process.row].append(attachment)
        self.users[attachment.placement.region_base] += 1

    # --- giving back --------------------------------------------------------------------------------------------------

    def let_go(self, attachment: Attachment) -> None:
        """An attachment is to be detached."""
        if attachment in self.present[attachment.process.row]:
            self.present[attachment.process.row].remove(attachment)
            self.leaving.append(attachment)

    def let_all_go(self, process: int) -> None:
        """A process is to be killed."""
        self.leaving.extend(self.present.pop(process, ()))

    def collect(self) -> None:
        """Take back the places of attachments that are gone."""
        if self.storage.tables.config[0]["vectors"]:
            return
        going = [one for one in self.leaving if self.storage.tables.graft[one.row]["state"] == tables.DETACHED]
        for attachment in going:
            self.leaving.remove(attachment)
            self.give_rows(attachment.row)
            self._ranges("graft").give(attachment.row, 1)
            self.leave(attachment.placement, attachment.program)

    def give_rows(self, graft: int) -> None:
        """Take back the handlers and slots of a graft."""
        row = self.storage.tables.graft[graft]
        for table, first, count in (("handler", "first_handler", "handlers"), ("slot", "first_slot", "slots")):
            if row[count]:
                self._ranges(table).give(int(row[first]), int(row[count]))

    def leave(self, placement: Placement, program: Program) -> None:
        """One attachment less uses this place."""
        self.users[placement.region_base] -= 1
        if self.users[placement.region_base] > 0:
            return
        del self.users[placement.region_base]
        bases = self.rows.pop(placement.region_base)
        for table, rows in jit.machine.rows_of(program).items():
            if rows:
                self._ranges(f"machine {table}").give(bases[table], rows)
        if placement.state_bytes:
            self._give_bytes(placement.state_at, placement.state_bytes)
        for key in [key for key in self.scratch if key[0] == placement.map_base]:
            self._give_bytes(*self.scratch.pop(key))

    def _give_bytes(self, at: int, size: int) -> None:
        self._ranges(BYTES).give(at, -(-size // ALIGNMENT) * ALIGNMENT)
