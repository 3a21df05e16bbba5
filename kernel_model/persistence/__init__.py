"""Applications as snapshots: saved under names, restored into another kernel, under another version of their grafts.

    kernel.save(Application("mail", (client, server)), "mail.snapshot")
    other.restore("mail.snapshot", {"disk": disk})          # elsewhere, later, or after a crash

Serialisation, not a memory image (KERNEL 8): a snapshot has named records and no rows, layouts or code, so that one
mechanism serves upgrade, migration and crash. `schema` says what is kept of every record, `collect` what belongs to an
application and what becomes of its ties to the outside, `files` why a crash leaves a whole snapshot, `soundness` what a
snapshot of a stranger is held to, `contents` how a new version of a graft takes over what the old one remembered.

    files      path <-> bytes, replaced as a whole
    snapshot   bytes <-> Snapshot, every value of its type, every name there
    collect    kernel -> Snapshot        rebuild    Snapshot -> kernel
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grafting import limits
from grafting.diagnostics import fail
from kernel_model.core import tables
from kernel_model.core.tables import NEVER, NONE, Tables

if TYPE_CHECKING:
    from kernel_model.groups import Clients
    from kernel_model.handles import Process, Target
    from kernel_model.kernel import Kernel
    from kernel_model.persistence.rebuild import Restored
    from verifier import Verified


@dataclass(frozen=True, slots=True)
class Application:
    """Processes and groups of one kernel that are saved together, with the endpoints of those and their grafts."""

    name: str
    processes: tuple[Process | Clients, ...]


def save(kernel: Kernel, application: Application, path: Path) -> None:
    """See `Kernel.save`."""
    from kernel_model.persistence import files, snapshot
    from kernel_model.persistence.collect import collect

    if any(process.kernel is not kernel for process in application.processes) or not application.processes:
        raise fail("G0870", f"`{application.name}` has no processes, or some of another kernel")
    kernel.leave_kernel()
    files.replace(path, snapshot.dumps(collect(kernel, application.name, application.processes)))


def restore(
    kernel: Kernel,
    path: Path,
    bindings: Mapping[str, Target],
    grafts: Mapping[str, Verified],
    defaults: Mapping[str, Any],
    forget: Collection[str],
) -> Restored:
    """See `Kernel.restore`."""
    from kernel_model.persistence import files, snapshot, soundness
    from kernel_model.persistence.contents import Upgrade
    from kernel_model.persistence.rebuild import rebuild

    found = snapshot.loads(files.read(path, limits.SNAPSHOT_BYTES), str(path))
    soundness.check(found)
    upgrade = Upgrade(defaults, forget)
    trial = trial_of(kernel)
    rebuild(trial, found, {name: trial.endpoint(f"binding of {name}") for name in bindings}, grafts, upgrade)
    return rebuild(kernel, found, bindings, grafts, upgrade)


def trial_of(kernel: Kernel) -> Kernel:
    """Return an empty kernel with the prices and cores of `kernel`: what can be rebuilt there can be rebuilt here.

    So a snapshot that is refused half-way, by a constructor or by a map, has done nothing to the kernel that counts.
    """
    trial = type(kernel)(prices={}, engine="python", cores=kernel.cores, seed=kernel.seed)
    trial.tables.price[:] = kernel.tables.price
    trial.worst = kernel.worst
    for field in ("exit_cost", "activation"):
        trial.tables.config[0][field] = kernel.tables.config[0][field]
    return trial


def is_between_entries(k: Tables) -> bool:
    """Whether no core is in the kernel or about to be, and no event is deferred, so that nothing is half done."""
    now = k.meter[0]["now"]
    for core in k.core[: k.config[0]["cores"]]:
        if core["phase"] not in (tables.USER, tables.IDLING) or core["pending_first"] != NONE:
            return False
        if core["ipi_at"] <= now or (core["ipi_at"] != NEVER and core["ipi_at"] == NEVER - 1):
            return False
    if k.meter[0]["heap_size"] > 0 and k.timer[k.heap[0]]["due"] <= now:
        return False
    return not k.process["deferred"].any()
