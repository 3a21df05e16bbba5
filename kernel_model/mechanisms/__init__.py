"""The rivals: each module compiles a workload into servers, a client and attachments of the simulated kernel.

`ALL` is the order of every table: the baseline first, the graft last.
"""

from __future__ import annotations

from kernel_model.mechanisms.async_ import MECHANISM as ASYNC
from kernel_model.mechanisms.call import MECHANISM as CALL
from kernel_model.mechanisms.graft import MECHANISM as GRAFT
from kernel_model.mechanisms.server import MECHANISM as SERVER

ALL = (CALL, ASYNC, SERVER, GRAFT)
