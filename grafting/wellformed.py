"""Structure that every `Program` has, checked once, when bytecode enters.

After `check` a program counter that starts at 0 can never leave the code or land inside an `lddw`, every opcode is
known, every reserved field is zero, every map index exists and execution cannot run past the last slot. Engines and
verifier rely on it and do not check again. Nothing here says that a program is *safe*; that is the verifier's work.
"""

from __future__ import annotations

from collections.abc import Sequence

from grafting import limits
from grafting.diagnostics import fail
from grafting.isa import Branch, CallLocal, Exit, Goto, Instruction, LoadMap, LoadMapValue, Operation, operations, width


def check(code: Sequence[Instruction], *, maps: int = 0, handler: str | None = None) -> dict[int, Operation]:
    """Return the operations by program counter, in order of address.

    Raises GraftError: G0506 too many slots, G0507 a jump or call out of the program or into an `lddw`, G0508 the last
    instruction falls through, G0509 a map number that is not declared; and the codes of `isa.operation`.
    """
    if len(code) > limits.PROGRAM_SLOTS:
        raise fail(
            "G0506", f"{len(code)} instruction slots, at most {limits.PROGRAM_SLOTS} are allowed", handler=handler
        )
    ops = dict(operations(code, handler))
    for pc, op in ops.items():
        match op:
            case Goto(target) | Branch(target=target) | CallLocal(target):
                if target not in ops:
                    where = "into the middle of `lddw`" if 0 < target < len(code) else "out of the program"
                    raise fail("G0507", f"jump to slot {target} goes {where}", handler=handler, pc=pc)
            case LoadMap(index=index) | LoadMapValue(index=index):
                if not 0 <= index < maps:
                    raise fail("G0509", f"map number {index} is not declared ({maps} are)", handler=handler, pc=pc)
            case _:
                pass
    last_pc, last = next(reversed(ops.items()))
    if not isinstance(last, Exit | Goto):
        raise fail("G0508", "execution can run past the last instruction", handler=handler, pc=last_pc)
    assert last_pc + width(last) == len(code)
    return ops
