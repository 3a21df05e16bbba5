"""From a failed check to a diagnostic: what was needed, what is known, on which path; in terms of the source if there
is one.

    error[G0605]: this reads bytes 8*i+8 .. 8*i+16 of the message body, of which 256 bytes are proven to exist
      --> sum.c:9:16
       |
     7 |     if ((const void *)(ctx->data + 256) > ctx->data_end) return 0;
       |         ------------------------------------------------ the body has at least 256 bytes
     9 |         sum += words[i + 1];
       |                ^^^^^^^^^^^^ `i` is 0..=63 here
       |
       = help: bound the loop: ..

The caret goes under the expression that the instruction belongs to (the object's `.graft` spans, else its line info,
else none: then the message names the instruction). A handler's first failure alone is reported, what follows on the
same path being its consequence; and a cause that several handlers share is reported once.

What it takes to explain is imported where it is needed: a program that is accepted does not wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from grafting import limits
from grafting.costs import CostVector
from grafting.diagnostics import Diagnostic, GraftError, Label
from grafting.program import Handler, Program
from verifier.explore import Stuck
from verifier.flow import Function
from verifier.meter import Exhausted
from verifier.refusal import Count, Refusal
from verifier.rules import Rules

if TYPE_CHECKING:
    from verifier.wording import Worded

OVER_BUDGET: Final = "G0620"  # each part of a budget is judged: several at one place are several causes


class Rejected(GraftError):
    """The verifier does not accept a program; `diagnostics` has the causes, each once, in the order of the handlers."""


class Failure(NamedTuple):
    """A walk that got stuck, and the rules that hold its symbols."""

    rules: Rules
    stuck: Stuck


def worth_reporting(earlier: Failure | None, later: Failure) -> Failure:
    """Return which failure of two walks to report, the later walk being the more precise one.

    The later one, for what was wrong with the earlier one may have been a join that lost too much. If both are the same
    refusal of one instruction and the earlier one has only generalised over rounds, it says more: what holds in all of
    them, rather than in the first that goes wrong.
    """
    if earlier is None:
        return later
    a, b = earlier.stuck, later.stuck
    same = a.pc == b.pc and a.refusal.code == b.refusal.code
    return earlier if same and all(place.loop for place in a.node.blame) else later


def stuck(failed: Failure, functions: Mapping[int, Function], handler: Handler) -> Diagnostic:
    """Return what to say about an obligation that is not met."""
    from verifier.naming import Naming
    from verifier.path import decisions, way
    from verifier.source_terms import Reckoner
    from verifier.wording import Writer

    rules, failure = failed
    led = way(rules, handler.operations, failure.node, failure.pc)
    reckoner = Reckoner(handler.operations, functions)
    reckoner.follow(led)
    naming = Naming(rules.program, handler, failure.pc, led, reckoner)
    worded = Writer(naming).write(failure.refusal)
    return _made(rules.program, handler, failure.pc, failure.refusal.code, worded, decisions(failure.node))


def exhausted(program: Program, handler: Handler, failure: Exhausted) -> Diagnostic:
    """Return what to say when a limit was reached before an answer."""
    if failure.loop is not None:
        refusal = Refusal(
            "G0621",
            "cannot show that this loop ends",
            ("no counter was found that bounds its rounds, and following it round by round took "
             f"{limits.VERIFIER_UNROLL_STEPS} instructions without an end",),
            (Count(),),
        )  # fmt: skip
        return diagnostic(program, handler, failure.loop, refusal)
    return diagnostic(program, handler, failure.pc, Refusal("G0622", f"too complex to verify: {failure.what}"))


def diagnostic(program: Program, handler: Handler, pc: int, refusal: Refusal) -> Diagnostic:
    """Return a refusal at an instruction as a diagnostic, without a path."""
    from verifier.wording import plainly

    return _made(program, handler, pc, refusal.code, plainly(program, refusal), ())


def _made(
    program: Program, handler: Handler, pc: int, code: str, worded: Worded, taken: tuple[tuple[int, bool], ...]
) -> Diagnostic:
    from grafting.assembly.disassembler import disassemble_operation
    from verifier.spans import first_line, span_at

    span = first_line(program, span_at(program, handler, pc))
    primary, notes = Label(span, "; ".join(worded.known)), worded.notes
    if not span.known:
        where = f"instruction {pc} of `{handler.name}`: `{disassemble_operation(handler.operations[pc])}`"
        primary, notes = Label(span), (where, *worded.known, *notes)
    return Diagnostic(
        code, worded.message, primary, program.debug.source, labels=worded.origin, notes=notes, helps=worded.helps,
        handler=handler.name, pc=pc, path=worded.decisions, decisions=taken,
    )  # fmt: skip


def each_cause_once(found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Return the diagnostics without those that say of one place what an earlier one has said of it."""
    kept: dict[object, Diagnostic] = {}
    for diagnostic_ in found:
        span = diagnostic_.primary.span
        place = span if span.known else (diagnostic_.handler, diagnostic_.pc)
        key = (diagnostic_.code, place, diagnostic_.message if diagnostic_.code == OVER_BUDGET else "")
        kept.setdefault(key, diagnostic_)
    return list(kept.values())


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
                    OVER_BUDGET,
                    f"`{handler.name}` may take {bound} {what}, its budget is {allowed}",
                    Label(budget.span, f"{bound} {what} in the worst case"),
                    program.debug.source,
                    helps=(f"raise the budget to {bound}, or tighten the loops' limits",),
                    handler=handler.name,
                )
            )
    return found
