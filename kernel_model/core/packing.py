"""The core as machine code: all its functions as one program, over the tables by address.

A named tuple of 26 arrays is passed to compiled functions by value, member by member: 250 arguments in every call. So
the numba tier compiles the core as a whole (`jit.whole`) over one pointer (`jit.rows`). Nothing else changes: the
functions are the same, and in plain Python `k` is the named tuple itself.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace

from jit import whole
from kernel_model.core import simulate
from kernel_model.core.storage import Storage

ENTRY_POINTS = {"advance": 2, "settle": 1, "ahead": 0, "start_all": 2, "command": 3}
"""What `kernel.Kernel` calls, and how many arguments each has beside the tables."""


@functools.cache
def functions() -> SimpleNamespace:
    """Return the entry points, compiled or from the cache; each takes the named tuple, like those of plain Python."""
    return whole.compiled(simulate, "k", Storage(trace=False).tables, ENTRY_POINTS)
