"""Groups of clients in a snapshot: each member a process of its own name, made again together.

A group is one account and one space of capabilities, that of its first member; so it is saved as a whole or not at all.
Its members are described one by one, since each may have come to its own think time, rings, or working set; what
`Kernel.clients` gave to all of them must be the same in all.

    {"name": "user/0", "kind": "client", "arguments": {"group": "user", "core": 0, ..}}, {"name": "user/1", ..}, ..
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from grafting.diagnostics import fail
from kernel_model.groups import Clients
from kernel_model.handles import Client, Process

if TYPE_CHECKING:
    from kernel_model.contexts import Context
    from kernel_model.kernel import Kernel
    from kernel_model.persistence.snapshot import Made

COMMON: Final = ("core", "priority", "completions", "context", "slots")  # what the members of a group share


def members(parts: Iterable[Process | Clients]) -> Iterator[tuple[Process, str | None]]:
    """Yield the processes of an application, each with the name of its group, None if it is alone."""
    for part in parts:
        if isinstance(part, Clients):
            yield from ((part[index], part.name) for index in range(part.count))
        else:
            yield part, None


def is_member(kernel: Kernel, process: Process) -> bool:
    """Whether a process is one of a group: those have no names of their own in their kernel."""
    known = kernel.processes.get(process.name)
    return known is None or known.row != process.row


def account_of(part: Made) -> str:
    """Return the name of the account of a process: its own, or that of its group."""
    group = part.arguments.get("group")
    return part.name if group is None else str(group)


def groups_of(parts: Iterable[Made]) -> dict[str, list[Made]]:
    """Return the members of each group in their order. Raises GraftError G0872 for a group whose name is no name."""
    found: dict[str, list[Made]] = {}
    for part in parts:
        group = part.arguments.get("group")
        if group is None:
            continue
        if not isinstance(group, str):
            raise fail("G0872", f"`{part.name}` is of a group without a name")
        found.setdefault(group, []).append(part)
    return found


def wrong_with(name: str, parts: list[Made]) -> str | None:
    """Return the rule that the members of a group break, None if there could be such a group."""
    if any(part.kind != "client" for part in parts):
        return "one of it is no client"
    if [part.name for part in parts] != [f"{name}/{index}" for index in range(len(parts))]:
        return "its members have other names than they would have"
    first = parts[0].arguments
    if any(part.arguments.get(field) != first.get(field) for part in parts for field in COMMON):
        return "its members were made in several ways"
    return "its members keep slots free" if first.get("slots") != 0 else None


class Groups:
    """The groups of one application as they are made in another kernel, each when its first member is asked for."""

    def __init__(self, kernel: Kernel, counts: Mapping[str, int]) -> None:
        self.kernel, self.counts = kernel, counts
        self.made: dict[str, Clients] = {}
        self.next: dict[str, int] = {}

    def member(self, name: str, given: Mapping[str, Any], context: Context | None) -> Client:
        """Return the next member of a group."""
        if name not in self.made:
            self.made[name] = self.kernel.clients(
                name, self.counts[name], core=given["core"], priority=given["priority"],
                completions=given["completions"], context=context,
            )  # fmt: skip
        index = self.next.get(name, 0)
        self.next[name] = index + 1
        return self.made[name][index]
