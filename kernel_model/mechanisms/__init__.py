"""The rivals: each module compiles a workload into servers, a client and attachments of the simulated kernel.

`ALL` is the order of every table: the baseline first, the graft last.
"""

from __future__ import annotations

from grafting.diagnostics import fail
from kernel_model.mechanisms.async_ import MECHANISM as ASYNC
from kernel_model.mechanisms.call import MECHANISM as CALL
from kernel_model.mechanisms.direct import NOTIFIED
from kernel_model.mechanisms.direct import POLLED as POLLED_DIRECT
from kernel_model.mechanisms.graft import MECHANISM as GRAFT
from kernel_model.mechanisms.hosted import MECHANISM as HOSTED
from kernel_model.mechanisms.hosted_server import MECHANISM as HOSTED_SERVER
from kernel_model.mechanisms.linked import MECHANISM as LINKED
from kernel_model.mechanisms.pipelined_kernel import MECHANISM as PIPELINED_KERNEL
from kernel_model.mechanisms.pipelined_server import MECHANISM as PIPELINED_SERVER
from kernel_model.mechanisms.rings import ENTER, POLLED
from kernel_model.mechanisms.routed import MECHANISM as ROUTED
from kernel_model.mechanisms.scenario import Mechanism
from kernel_model.mechanisms.server import MECHANISM as SERVER

ALL = (
    CALL, ASYNC, ENTER, POLLED, NOTIFIED, POLLED_DIRECT, LINKED, PIPELINED_KERNEL, PIPELINED_SERVER, ROUTED, SERVER,
    HOSTED, HOSTED_SERVER, GRAFT,
)  # fmt: skip
BY_NAME = {mechanism.name: mechanism for mechanism in ALL}


def mechanism_of(name: str) -> Mechanism:
    """Return the mechanism of that name. Raises GraftError G0860 for an unknown one."""
    if name not in BY_NAME:
        raise fail("G0860", f"no mechanism is called `{name}`", helps=(f"there are {', '.join(BY_NAME)}",))
    return BY_NAME[name]
