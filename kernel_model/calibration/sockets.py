"""What a message over TCP costs on this machine, and one activation of a program that is attached to a socket.

    message     write and read of a TCP connection by one process: two crossings and the network's stack, nobody waits
    redirect    write and read of a socket whose BPF program puts what is written into the socket's own receive queue

Both are parts of the profile: no primitive of the modelled kernel is a TCP connection, but chains on the real one are
predicted from them (`linux.chains`).
"""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from kernel_model.calibration import system
from kernel_model.calibration.samples import Probe
from kernel_model.linux.loops import LEFT, loops
from kernel_model.linux.sockets import SIZE, connection


def probes(opened: ExitStack) -> dict[str, Probe]:
    """Make both probes and the connections that they need; `bpf(2)` must be allowed."""
    plain = opened.enter_context(connection(grafted=False))
    own = opened.enter_context(connection(grafted=True)).server.fileno()
    return {
        "message": _probe(plain.client.fileno(), plain.server.fileno(), hops=0),
        "redirect": _probe(own, own, hops=1),
    }


def _probe(out: int, into: int, *, hops: int) -> Probe:
    message = np.zeros(SIZE // 8, np.uint64)
    message[LEFT] = hops
    return Probe(lambda times: loops().ask(out, into, message, SIZE, times), system.CORE_TIMES)
