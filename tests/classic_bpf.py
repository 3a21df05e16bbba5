"""The BSD packet filter: an interpreter of its instructions and the program of its paper, as a reference.

McCanne and Jacobson, "The BSD Packet Filter", USENIX Winter 1993: an accumulator, an index register, loads of
big-endian halves and bytes of the packet, `ldx 4*([k]&0xf)` for the header of variable length. A load outside the
packet rejects it.
"""

from __future__ import annotations

Program = list[tuple[object, ...]]

FINGER: Program = [
    ("ldh", 12),
    ("jeq", 0x0800, 0, 10),
    ("ldb", 23),
    ("jeq", 6, 0, 8),
    ("ldh", 20),
    ("jset", 0x1FFF, 6, 0),
    ("ldxb", 14),
    ("ldhx", 14),
    ("jeq", 79, 2, 0),
    ("ldhx", 16),
    ("jeq", 79, 0, 1),
    ("ret", 1),
    ("ret", 0),
]
"""TCP packets to or from the finger port."""


def accepts(program: Program, packet: bytes) -> bool:
    """Return whether a program accepts a packet."""
    a = x = pc = 0
    while True:
        op, *args = program[pc]
        numbers = [int(str(arg)) for arg in args]
        k = numbers[0]
        pc += 1
        match op:
            case "ldh" | "ldhx" | "ldb" | "ldxb":
                at = k + (x if op == "ldhx" else 0)
                field = packet[at : at + (2 if op in ("ldh", "ldhx") else 1)]
                if len(field) < (2 if op in ("ldh", "ldhx") else 1):
                    return False
                if op == "ldxb":
                    x = 4 * (field[0] & 0xF)
                else:
                    a = int.from_bytes(field, "big")
            case "jeq":
                pc += numbers[1] if a == k else numbers[2]
            case "jset":
                pc += numbers[1] if a & k else numbers[2]
            case "ret":
                return k != 0
            case _:
                raise AssertionError(op)
