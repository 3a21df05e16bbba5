"""How a client does its jobs: the modes of `Client.run`, checked and written into its row."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from grafting.diagnostics import fail
from kernel_model.core import tables
from kernel_model.core.tables import NONE
from kernel_model.handles import Client, Mode, Process
from kernel_model.suggestions import meant

if TYPE_CHECKING:
    from kernel_model.kernel import Kernel

RINGS = {"rings": tables.RING_ENTER, "polled": tables.RING_POLLED, "linked": tables.RING_LINKED}
BATCHES = (*RINGS, "direct")


def set_mode(
    kernel: Kernel, client: Client, mode: Mode, depth: int, batch: bool, wait: int, poller: Process | None
) -> None:
    """Check the mode and its options, then set them; see `Client.run`. Raises GraftError G0801."""
    process = kernel.tables.process[client.row]
    if mode not in get_args(Mode):
        raise fail("G0801", f"no client runs in mode `{mode}`", helps=meant(mode, get_args(Mode)))
    if depth < 1 or (mode == "call" and depth != 1):
        raise fail("G0801", f"mode `{mode}` with depth {depth}", helps=("depth is for the other modes",))
    if depth > process["cq_capacity"]:
        raise fail("G0801", f"a depth of {depth} needs as many completions; `{client.name}` has "
                   f"{process['cq_capacity']}")  # fmt: skip
    if wait < 1 or (wait != 1 and mode not in BATCHES):
        raise fail("G0801", f"mode `{mode}` waits for {wait} completions", helps=("only rings wait for several",))
    if (mode == "polled") != (poller is not None):
        raise fail("G0801", "a polling thread and mode `polled` go together",
                   helps=('client.run("polled", poller=kernel.poller())',))  # fmt: skip
    if mode == "direct" and process["side"] == NONE:
        raise fail("G0801", f"`{client.name}` shares no ring", helps=("kernel.connect(client, server)",))
    # --- commit ---
    process["depth"] = 0 if mode == "call" else depth
    process["batch"] = batch
    process["wanted"] = wait
    if poller is not None:
        kernel.storage.let_poll(client.row, poller.row)
    if mode == "linked":
        kernel.storage.let_chain(client.row)
    process["ring"] = RINGS.get(mode, 0)
    process["behaviour"] = behaviour_of(mode)


def behaviour_of(mode: Mode) -> int:
    """Return what a client does in user mode."""
    if mode == "direct":
        return tables.B_ASKING
    return tables.B_RINGS if mode in RINGS else tables.B_CLIENT
