"""Why Linux's verifier and ours disagree about a program: each disagreement has a name, or is a bug of ours.

`compared` asks both. What we accept and Linux refuses is sorted by Linux's own words (`THEIRS`) and, where those could
hide a hole of ours, by what the program must contain for the reason to be true: a quotient for "Linux has no bounds of
quotients". What Linux accepts and we refuse is sorted by the code of our refusal (`OURS`), and counts against us unless
a rule of ours demands it. Whatever fits nothing has the name UNEXPLAINED.

Source of Linux's words: linux/kernel/bpf/verifier.c (v6.18).
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import verifier
from grafting.isa import (
    FRAME_POINTER,
    Alu,
    AluOp,
    Atomic,
    Branch,
    ByteSwap,
    Goto,
    Load,
    MoveSx,
    Operation,
    Reg,
    Store,
)  # fmt: skip
from grafting.program import Program
from kernel_model.linux import bpf
from kernel_model.linux.translation import Translated, translated

UNEXPLAINED: Final = "unexplained"


@dataclass(frozen=True, slots=True)
class Difference:
    """A named disagreement. `pattern`: of Linux's reason. `present`: whether a program can have it."""

    name: str
    why: str
    pattern: str
    present: Callable[[Mapping[int, Operation]], bool] = lambda operations: True


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of ours: its code, why, and what the message says where the code alone does not tell."""

    code: str
    why: str
    says: str = ""


_Operations = Mapping[int, Operation]
_RANGE = (
    r"unbounded (min|max|memory|variable-offset)|(min|max) value is (negative|outside)|outside of the allowed|"
    r"invalid (variable-offset|access to|write to stack|read from stack)|misaligned|infinite loop"
)
"""What Linux says where it has not the bounds that we have."""


def _some(test: Callable[[Operation], bool]) -> Callable[[_Operations], bool]:
    return lambda operations: any(map(test, operations.values()))


def _goes_back(operations: _Operations) -> bool:
    return any(isinstance(op, Branch | Goto) and op.target <= pc for pc, op in operations.items())


def _divides(op: Operation) -> bool:
    return isinstance(op, AluOp) and op.op in (Alu.DIV, Alu.MOD, Alu.SDIV, Alu.SMOD)


def _shifts_by_register(op: Operation) -> bool:
    return isinstance(op, AluOp) and op.op in (Alu.LSH, Alu.RSH, Alu.ARSH) and isinstance(op.source, Reg)


def _subtracts_register(op: Operation) -> bool:
    return isinstance(op, AluOp) and op.op is Alu.SUB and isinstance(op.source, Reg)


def _is_signed(op: Operation) -> bool:
    return isinstance(op, MoveSx) or (isinstance(op, Load) and op.signed)


def _splits_slot(op: Operation) -> bool:
    return isinstance(op, Load | Store) and op.size < 8 and op.base == FRAME_POINTER


def _orders(op: Operation) -> bool:
    return isinstance(op, Branch) and isinstance(op.source, Reg) and op.bits == 64


def _equals_itself(op: Operation) -> bool:
    return isinstance(op, Branch) and op.source == Reg(op.dst)


def _masks(op: Operation) -> bool:
    return isinstance(op, AluOp) and op.op is Alu.AND


THEIRS: Final = (
    Difference("loops are walked", "Linux follows every round of a loop, at most 1,000,000 instructions and 8192 jumps "
               "at once; here a ranking bounds it", r"infinite loop|too complex|too large|back-edge", _goes_back),
    Difference("paths are walked", "Linux follows every path that its pruning does not merge; here they are joined",
               r"too complex|too large"),
    Difference("addresses of the caller's frame", "a local function may return the address that it was given; Linux "
               "lets it return no address of a stack", r"cannot return stack pointer"),
    Difference("immediate shifts", "a shift by the width or more counts modulo the width (RFC 9669); Linux refuses it "
               "where the amount is an immediate", r"invalid shift"),
    Difference("immediate division by 0", "x / 0 is 0 and x % 0 is x (RFC 9669); Linux refuses an immediate 0",
               r"div by zero"),
    Difference("body checks", "Linux learns from `p + n <= data_end` about p itself, not from data_end - p, nor about "
               "an offset that is added afterwards", r"outside of the packet|invalid access to packet"),
    Difference("the body's end", "data_end is the address of the body at its length: it moves, and what lies below "
               "it is read through it", r"pkt_end"),
    Difference("memory of helpers", "the counterpart of the helper takes no message body",
               r"helper access to the packet"),
    Difference("unreachable code", "code that nothing reaches is not judged; Linux refuses it", r"unreachable insn"),
    Difference("unaligned stack", "under `raw_memory` the stack, too, may be accessed unaligned",
               r"misaligned stack access off \d+\+"),
    Difference("variable offsets into the context", "allowed where only numbers lie; Linux takes constant offsets",
               r"variable ctx access|modified ctx ptr"),
    Difference("the context through a joined place", "the translation finds no register that always holds it",
               r"invalid bpf_context access"),
    Difference("far offsets", "an address may be moved by anything as long as it is not used; Linux stops at 2^29",
               r"pointer offset -?\d+ is not allowed|makes .* pointer be out of bounds"),
    Difference("combined stack", "Linux rounds each frame up to 16 or 32 bytes before it adds them",
               r"combined stack size"),
    Difference("quotients", "Linux knows nothing of the result of /, %, s/ and s%; here it has bounds", _RANGE,
               _some(_divides)),
    Difference("byte swaps", "Linux knows nothing of swapped bytes; here the bits are known", _RANGE,
               _some(lambda op: isinstance(op, ByteSwap))),
    Difference("atomics", "Linux forgets a stack slot that an atomic changes, and what a fetch gives", _RANGE,
               _some(lambda op: isinstance(op, Atomic))),
    Difference("variable shifts", "Linux bounds a shift by a constant only", _RANGE, _some(_shifts_by_register)),
    Difference("a number compared with itself", "Linux follows both ways of `if r6 < r6`",
               _RANGE + r"|invalid mem access 'scalar'", _some(_equals_itself)),
    Difference("equal numbers by name", "a - a is 0, and p + a - a is p, for an a that nothing is known of", _RANGE,
               _some(_subtracts_register)),
    Difference("signed offsets", "Linux wants the variable part of an offset not to be negative, whatever constant "
               "is added to it", _RANGE, _some(_is_signed)),
    Difference("parts of numbers on the stack", "a narrow load, or a load of what was stored in parts, has the bits "
               "that were stored; Linux knows them for whole slots alone", _RANGE, _some(_splits_slot)),
    Difference("order of addresses", "comparing two addresses of one region bounds their offsets; Linux learns from "
               "that for packets alone", _RANGE, _some(_orders)),
    Difference("nearest members", "Linux leaves the end of an interval where the known bits rule it out (39 for an "
               "even number); here it moves to the nearest member", _RANGE, _some(_masks)),
)  # fmt: skip
"""What Linux refuses and we accept, the first that fits."""

OURS: Final = (
    Rule("G0601", "a function's r0 is set, read or not; and what a helper of ours reads and its counterpart does not"),
    Rule("G0602", "unwritten stack is not read: Linux lets privileged programs read it since 6.3"),
    Rule("G0608", "maps are reached by helpers alone: Linux lets privileged programs read their fields", "is a map"),
    Rule("G0609", "what is read-only here and has a counterpart that is not"),
    Rule("G0610", "natural alignment of every access"),
    Rule("G0611", "addresses stay inside: not into maps, messages or results, nor onto the stack in pieces"),
    Rule("G0612", "no arithmetic on addresses but + and -: Linux makes numbers of them for privileged programs"),
    Rule("G0613", "addresses are compared with 0 and within their region only"),
    Rule("G0615", "helpers that the hook does not offer"),
    Rule("G0616", "arguments that our helper demands and its counterpart does not"),
    Rule("G0617", "capability slots and rights"),
    Rule("G0618", "lengths and operations of the protocol"),
    Rule("G0619", "verdicts of the hook"),
    Rule("G0620", "the budget"),
    Rule("G0625", "frames of 512 bytes in all, none rounded"),
)
"""What we refuse by a rule of our own."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both verdicts on a program: the code of our refusal and Linux's reason, each "" if it is accepted.

    `ours_ms`, `theirs_ms`: how long each took. `our_steps`, `their_steps`: instructions looked at.
    """

    refused: str
    message: str
    reason: str
    difference: str
    ours_ms: float
    theirs_ms: float
    our_steps: int
    their_steps: int

    @property
    def agreed(self) -> bool:
        """Whether both say the same."""
        return bool(self.refused) == bool(self.reason)

    @property
    def by_rule(self) -> bool:
        """Whether Linux accepts what we refuse by a rule of our own."""
        return bool(self.refused and not self.reason) and self.difference != UNEXPLAINED


def compared(program: Program, *, clock: Callable[[], float] = time.monotonic) -> Comparison:
    """Ask both verifiers about the first handler of a program. Raises Untranslatable, or BpfError.

    `clock` is given to our verifier for its limit of time.
    """
    handler = program.handlers[0]
    start, refused, message, steps = time.perf_counter(), "", "", 0
    try:
        steps = verifier.verify(program, clock=clock).handlers[handler.name].steps
    except verifier.Rejected as rejected:
        refused, message = rejected.diagnostics[0].code, rejected.diagnostics[0].message
    ours_ms = (time.perf_counter() - start) * 1000
    with translated(program, handler) as there:
        start = time.perf_counter()
        verdict = bpf.judge(there.code, there.program_type, flags=there.flags)
        theirs_ms = (time.perf_counter() - start) * 1000
        reason = "" if verdict.accepted else _reason(there, verdict.error)
    difference = ""
    if reason and not refused:
        difference = _sorted(reason, handler.operations)
    elif refused and not reason:
        difference = next((rule.why for rule in OURS if rule.code == refused and rule.says in message), UNEXPLAINED)
    return Comparison(refused, message, reason, difference, ours_ms, theirs_ms, steps, verdict.steps or 0)


def _reason(there: Translated, error: int) -> str:
    if error == errno.E2BIG:  # asking again with a log would print a million instructions
        return "too large or too complex"
    verdict = bpf.judge(there.code, there.program_type, flags=there.flags, log_level=bpf.LOG_REASONS)
    return verdict.reason or f"errno {verdict.error}"


def _sorted(reason: str, operations: Mapping[int, Operation]) -> str:
    for difference in THEIRS:
        if re.search(difference.pattern, reason) and difference.present(operations):
            return difference.name
    return UNEXPLAINED
