"""From a failed check to a message: what was needed, what is known, on which path; in terms of the source if there is
one.

The caret goes under the expression that the instruction belongs to (the object's `.graft` spans, else its line info,
else none: then the message names the instruction). Only the first failure of a handler is reported: what follows on the
same path is its consequence.
"""

from __future__ import annotations

from grafting import limits
from grafting.costs import CostVector
from grafting.diagnostics import NO_SPAN, Diagnostic, GraftError, Label, Span
from grafting.program import Handler, LineInfo, Program
from verifier.check import Refusal
from verifier.explore import Exhausted, Node, Stuck

_DECISIONS = 6  # of a path that are shown, the last ones


class Rejected(GraftError):
    """The verifier does not accept a program; `diagnostics` has one entry a handler, the root cause first."""


def stuck(program: Program, handler: Handler, failure: Stuck) -> Diagnostic:
    """Return what to say about an obligation that is not met."""
    return diagnostic(program, handler, failure.pc, failure.refusal, _path(program, handler, failure.node))


def exhausted(program: Program, handler: Handler, failure: Exhausted) -> Diagnostic:
    """Return what to say when a limit was reached before an answer."""
    if failure.loop is not None:
        refusal = Refusal(
            "G0621",
            "cannot show that this loop ends",
            ("no counter was found that bounds its rounds, and following it round by round took "
             f"{limits.VERIFIER_UNROLL_STEPS} instructions without an end",),
            ("count the rounds: `for i in 0..n max N`, or `while condition limit N`",),
        )  # fmt: skip
        return diagnostic(program, handler, failure.loop, refusal)
    return diagnostic(program, handler, failure.pc, Refusal("G0622", f"too complex to verify: {failure.what}"))


def diagnostic(program: Program, handler: Handler, pc: int, refusal: Refusal, path: tuple[str, ...] = ()) -> Diagnostic:
    """Return a refusal as a diagnostic at an instruction."""
    span = span_at(program, handler, pc)
    notes = refusal.notes
    if path:
        notes += ("on the path where " + ", ".join(path),)
    if not span.known:
        notes += (f"at instruction {pc} of `{handler.name}`: `{_text(handler, pc)}`",)
    return Diagnostic(
        refusal.code, refusal.message, Label(span), program.debug.source, notes=notes, helps=refusal.helps,
        handler=handler.name, pc=pc,
    )  # fmt: skip


def over_budget(program: Program, handler: Handler, bounds: CostVector) -> list[Diagnostic]:
    """Return a diagnostic for each part of the handler's budget that the proven bound exceeds."""
    budget = handler.budget
    found = []
    for what, allowed, bound in (
        ("instructions", budget.instructions, bounds.instructions),
        ("sends", budget.sends, bounds.sends),
        ("bytes sent", budget.bytes_sent, bounds.bytes_sent),
    ):
        if allowed is not None and bound > allowed:
            found.append(
                Diagnostic(
                    "G0620",
                    f"`{handler.name}` may take {bound} {what}, its budget is {allowed}",
                    Label(budget.span, f"{bound} {what} in the worst case"),
                    program.debug.source,
                    helps=(f"raise the budget to {bound}, or tighten the loops' limits",),
                    handler=handler.name,
                )
            )
    return found


# --- places ----------------------------------------------------------------------------------------------------------


def span_at(program: Program, handler: Handler, pc: int) -> Span:
    """Return the source range of an instruction, NO_SPAN if none is known."""
    info = handler.line_at(pc)
    if info is None or program.debug.source is None or info.line == 0:
        return NO_SPAN
    exact = program.debug.spans.get((info.line, info.column))
    return exact if exact is not None else _rest_of_line(program, info)


def _rest_of_line(program: Program, info: LineInfo) -> Span:
    assert program.debug.source is not None
    lines = program.debug.source.text.split("\n")
    if info.line > len(lines):
        return NO_SPAN
    text = lines[info.line - 1]
    column = min(max(info.column, len(text) - len(text.lstrip()) + 1), len(text) + 1)
    start = sum(len(line) + 1 for line in lines[: info.line - 1]) + column - 1
    return Span(info.line, column, start, max(start + 1, start + len(text[column - 1 :].rstrip())))


def _text(handler: Handler, pc: int) -> str:
    from grafting.assembly.disassembler import disassemble_operation

    return disassemble_operation(handler.operations[pc])


def _path(program: Program, handler: Handler, node: Node) -> tuple[str, ...]:
    """Return the last decisions that lead to a node, first things first."""
    found: list[str] = []
    current: Node | None = node
    while current is not None and len(found) < _DECISIONS:
        if current.taken is not None:
            pc, taken = current.taken
            info = handler.line_at(pc)
            where = f"line {info.line}" if info is not None and info.line else f"instruction {pc}"
            text = f"the branch at {where} is {'' if taken else 'not '}taken"
            if not found or found[-1] != text:
                found.append(text)
        current = current.parent
    return tuple(reversed(found))
