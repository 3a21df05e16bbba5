"""A TCP connection over the loopback device, and on it the graft of the real kernel: a BPF program of type SK_MSG.

The program looks at each message that the server sends, before the network does: while hops are left (the message's
first word) it puts the message into the server's own receive queue, as the next request; only the last one goes to the
client. What is sent so never enters the network, and none is lost (unlike what sk_skb programs redirect).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from grafting import Program, hooks, isa
from grafting.isa import Instruction
from kernel_model.linux import bpf

SIZE = 64  # bytes of a message

_MAP_FD = 1  # src of lddw: imm is a map's descriptor
_PROGRAM = """
    r6 = r1
    r2 = 0
    r3 = 16
    r4 = 0
    call 63
    if r0 != 0 goto pass
    r2 = *(u64 *)(r6 + 0)
    r3 = *(u64 *)(r6 + 8)
    r4 = r2
    r4 += 16
    if r4 > r3 goto pass
    r5 = *(u64 *)(r2 + 0)
    if r5 == 0 goto pass
    r1 = r6
    r2 = 0x0 ll
    r3 = 0
    r4 = 1
    call 60
    exit
pass:
    r0 = 1
    exit
"""
"""msg_pull_data(16 bytes); while hops are left, msg_redirect_map(own socket, ingress); else SK_PASS."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Both ends of a TCP connection over the loopback device."""

    client: socket.socket
    server: socket.socket


@contextmanager
def connection(*, grafted: bool) -> Iterator[Connection]:
    """Make a connection, with the program on the server's socket if `grafted`."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = opened.enter_context(socket.create_connection(listener.getsockname()))
        server = opened.enter_context(listener.accept()[0])
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if grafted:
            sockmap = bpf.create_map(bpf.MapType.SOCKMAP, 4, 4, 1)
            opened.callback(os.close, sockmap)
            program, _log = opened.enter_context(bpf.loaded(_program(sockmap), bpf.ProgramType.SK_MSG))
            opened.enter_context(bpf.attached_to_sockets(program, sockmap))
            bpf.update_map(sockmap, bytes(4), server.fileno().to_bytes(4, "little"))
        yield Connection(client, server)


def _program(sockmap: int) -> list[Instruction]:
    code = Program.from_assembly(_PROGRAM, hooks.raw_context(64), name="chain").handlers[0].instructions
    return [Instruction(isa.LDDW, i.dst, _MAP_FD, 0, sockmap) if i.opcode == isa.LDDW else i for i in code]
