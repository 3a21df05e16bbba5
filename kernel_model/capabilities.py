"""Capabilities from outside: what `Kernel` does to set up who may send where, before and between runs.

Nothing here costs the model any time. A process that mints, grants or revokes while it runs does so by actions of
`hosting`, which do.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from grafting.diagnostics import fail
from jit.hot import tier
from kernel_model.core import capabilities, tables
from kernel_model.core.tables import NONE
from kernel_model.handles import Capability, Endpoint, Process, Server, Target
from kernel_model.suggestions import meant

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel

RIGHTS = {"send": tables.SEND, "grant": tables.GRANT}
ALL_RIGHTS = tables.SEND | tables.GRANT


def handle(kernel: Kernel, row: int) -> Capability:
    """Return the name of the capability in a row as it is now."""
    return Capability(kernel, row, int(kernel.tables.capability[row]["epoch"]))


def endpoint_of(to: Endpoint | Server) -> Endpoint:
    """Return where a server receives."""
    return to.endpoint if isinstance(to, Server) else to


def root(kernel: Kernel, to: Endpoint | Server) -> Capability:
    """Return the capability from which all others to this endpoint come, with all rights."""
    return handle(kernel, int(kernel.tables.endpoint[endpoint_of(to).row]["root"]))


def new_root(kernel: Kernel, endpoint: int) -> None:
    """Make the root of an endpoint, which nobody holds yet."""
    c = _hot(kernel).new_capability(kernel.tables, tables.C_ENDPOINT, NONE)
    row = kernel.tables.capability[c]
    row["endpoint"], row["rights"] = endpoint, ALL_RIGHTS
    kernel.tables.endpoint[endpoint]["root"] = c


def name(kernel: Kernel, to: Target, owner: int, badge: int) -> int:
    """Return the row of a capability of process `owner` to send to `to`: see `Kernel.capability`."""
    if isinstance(to, Capability):
        _there(kernel, to)
        if int(kernel.tables.capability[to.row]["owner"]) != owner:
            raise fail("G0817", "a process can use only capabilities that it holds",
                       helps=("grant it one: kernel.grant(capability, process)",))  # fmt: skip
        return to.row
    parent = root(kernel, to)
    key = (endpoint_of(to).row, owner)
    known = kernel.known_capabilities.get(key)
    if badge == 0 and known is not None and known.exists:
        return known.row
    c = int(_hot(kernel).derive(kernel.tables, parent.row, owner, ALL_RIGHTS))
    if badge:
        kernel.tables.capability[c]["badge"] = _signed(badge)
    else:
        kernel.known_capabilities[key] = handle(kernel, c)
    return c


def derive(
    kernel: Kernel, source: Capability, to: int, badge: int | None, rights: Collection[str] | None
) -> Capability:
    """Return a child of `source` for process `to` (NONE: for the holder of `source`), with a badge and some rights."""
    _there(kernel, source)
    row = kernel.tables.capability[source.row]
    if row["kind"] != tables.C_ENDPOINT or not row["alive"]:
        raise fail("G0817", f"nothing can be derived from a capability that is {_state(source)}")
    wanted = int(row["rights"]) if rights is None else bits(rights)
    if wanted & ~int(row["rights"]):
        raise fail("G0818", f"a capability to {_list(source.rights)} cannot be minted to {_list(rights or ())}",
                   notes=("what a capability allows only shrinks",))  # fmt: skip
    if badge is not None and (row["badge"] != 0 or badge == 0):
        raise fail("G0818", "a badge other than 0 is set once, on an unbadged capability")
    owner = int(row["owner"]) if to == NONE else to
    if owner != int(row["owner"]) and not int(row["rights"]) & tables.GRANT:
        raise fail("G0817", "a capability without the right to grant cannot be given to another process")
    c = int(_hot(kernel).derive(kernel.tables, source.row, owner, wanted))
    if badge is not None:
        kernel.tables.capability[c]["badge"] = _signed(badge)
    return handle(kernel, c)


def slot(kernel: Kernel, process: Process) -> Capability:
    """Return an empty slot of a process, for a promise."""
    return handle(kernel, int(_hot(kernel).new_capability(kernel.tables, tables.C_NULL, process.row)))


def to_revoke(kernel: Kernel, what: Target) -> Capability:
    """Return the capability whose descendants are meant: an endpoint or a server stands for its root."""
    source = what if isinstance(what, Capability) else root(kernel, what)
    _there(kernel, source)
    return source


def to_delete(kernel: Kernel, what: Capability) -> Capability:
    """Return a capability that can be deleted: all but roots."""
    _there(kernel, what)
    if capabilities.is_root(kernel.tables, what.row):
        raise fail("G0817", "the root of an endpoint stays as long as the endpoint",
                   helps=("revoke it: kernel.revoke(...) takes back all that was derived from it",))  # fmt: skip
    return what


def _hot(kernel: Kernel) -> Any:
    kernel.storage.ensure(tables.P_CAPABILITY)
    return tier("python", capabilities)


def _there(kernel: Kernel, capability: Capability) -> None:
    if capability.kernel is not kernel or not capability.exists:
        raise fail("G0817", "this capability is not there any more", notes=("it was deleted, or its holder died",))


def bits(rights: Collection[str]) -> int:
    """Return rights as the tables keep them. Raises GraftError G0818 for one that is none."""
    for right in rights:
        if right not in RIGHTS:
            raise fail("G0818", f"there is no right `{right}`", helps=meant(right, RIGHTS))
    return sum(RIGHTS[right] for right in set(rights))


def _state(capability: Capability) -> str:
    return "revoked" if capability.kind == "endpoint" else f"of the kind `{capability.kind}`"


def _list(rights: Collection[str]) -> str:
    return " and ".join(f"`{right}`" for right in sorted(rights)) or "nothing"


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
