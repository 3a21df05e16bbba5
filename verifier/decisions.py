"""Where the way to a refused instruction turned: the conditional jumps that matter, in terms of the source.

A jump is told as the source's own condition and its truth, `node.leaf != 0` is false, if what was compared is what is
written there; else as what holds since: `i+1 >= node.count`, `wanted[msg.tag]` is there, the body has at least 504
bytes. In assembly the comparison itself comes first.
"""

from __future__ import annotations

from collections.abc import Collection

from grafting.diagnostics import Label, Span
from grafting.hooks import Result
from grafting.isa import Branch, CallHelper, Condition
from verifier import spans
from verifier.naming import Language, Naming, instruction
from verifier.pointers import Kind
from verifier.source_terms import LENGTH, Decision, Leaf, Sum
from verifier.values import Pointer

DECISIONS = 4  # of a way that are shown, those that concern what the message names before others
OTHERS = 2  # of those that do not concern it, the last ones, if there are some that do


def turns(naming: Naming, subjects: Collection[Leaf]) -> tuple[Label, ...]:
    """Return where the way turned: what concerns the message, else the last turns; each place once."""
    decisions, concerning = naming.reckoner.decisions, set(subjects)
    numbers = sorted({decision.pc: number for number, decision in enumerate(decisions)}.values())
    concerned = [number for number in numbers if concerning & _leaves(decisions[number])][-DECISIONS:]
    others = [number for number in numbers if number not in concerned][-OTHERS if concerned else -DECISIONS :]
    chosen = [decisions[number] for number in sorted((*concerned, *others)[:DECISIONS])]
    found: dict[Span, list[str]] = {}
    for decision in chosen:
        span = spans.first_line(naming.program, spans.span_at(naming.program, naming.handler, decision.pc))
        said = found.setdefault(span, [])
        text = _decision(naming, decision)
        if text not in said:
            said.append(text)
    return tuple(
        label
        for span, said in found.items()
        for label in ([Label(span, ", ".join(said))] if span.known else [Label(span, text) for text in said])
    )


def _decision(naming: Naming, decision: Decision) -> str:
    """Return what a conditional jump has decided, in terms of the source."""
    op = naming.handler.operations[decision.pc]
    assert isinstance(op, Branch)
    sign = op.condition.value if decision.taken else _negated(op.condition)
    meaning = _meaning(naming, decision, sign)
    if naming.language is Language.ASSEMBLY:
        text = instruction(naming.handler, decision.pc).partition(" goto")[0].removeprefix("if ")
        so = f": {meaning}" if meaning is not None else ""
        return f"`{text}` is {'true' if decision.taken else 'false'} (instruction {decision.pc}){so}"
    return meaning if meaning is not None else _compared(naming, decision, sign)


def _meaning(naming: Naming, decision: Decision, sign: str) -> str | None:
    """Return what a comparison of addresses has shown."""
    value = decision.left_value
    if isinstance(value, Pointer) and value.region.kind is Kind.VALUE and decision.left.found is not None:
        if sign not in ("==", "!="):
            return None
        text = spans.quoted(naming.program, naming.handler, decision.left.found.pc)
        found = f"what the lookup{naming.where(decision.left.found.pc)} finds"
        what = f"`{text}`" if text is not None else found
        return f"{what} is {'absent' if sign == '==' else 'there'}"
    return _body_length(naming, decision, sign) or _status(naming, decision, sign)


def _status(naming: Naming, decision: Decision, sign: str) -> str | None:
    """Return what a comparison of a helper's status with 0 has shown."""
    leaf = decision.left.leaf
    op = naming.handler.operations.get(leaf.pc) if leaf is not None and leaf.loop is None else None
    helper = naming.handler.hook.helper(op.number) if isinstance(op, CallHelper) else None
    if helper is None or helper.result is not Result.STATUS or decision.right != Sum() or sign not in ("==", "!="):
        return None
    return f"`{helper.name}` {'succeeds' if sign == '==' else 'fails'}"


def _compared(naming: Naming, decision: Decision, sign: str) -> str:
    first, second = decision.left, decision.right
    if not first.terms and second.terms:
        first, second, sign = second, first, _MIRRORED.get(sign, sign)
    left, right = naming.aside(first), naming.aside(second)
    text = spans.quoted(naming.program, naming.handler, decision.pc)
    written = spans.comparison(text) if text is not None else None
    if written is not None and left == written[0]:
        for same in _same(sign.removeprefix("s"), second):
            if _is_written(same, written[1:]):
                return f"`{text}` is true"
            if _is_written((_NEGATED.get(same[0], ""), same[1]), written[1:]):
                return f"`{text}` is false"
    if sign in ("&", "!&"):
        return f"`{left} & {right}` is {'not ' if sign == '&' else ''}0"
    return f"`{left} {sign.removeprefix('s')} {right}`"


def _body_length(naming: Naming, decision: Decision, sign: str) -> str | None:
    """Return what a comparison with the end of the body has decided, if it is one."""
    left, right = decision.left, decision.right
    if left.leaf is LENGTH:
        left, right, sign = right, left, _MIRRORED.get(sign, sign)
    if right.leaf is not LENGTH or sign not in _LENGTHS:
        return None
    plural = "byte" if left == Sum((), 1) else "bytes"
    return f"the body has {_LENGTHS[sign]} {naming.aside(left)} {plural}"


_LENGTHS = {"<=": "at least", "<": "more than", ">": "fewer than", ">=": "at most"}


def _leaves(decision: Decision) -> set[Leaf]:
    """Return what a decision concerns: the numbers compared, and the lookup whose result was."""
    sides = (decision.left, decision.right)
    return {leaf for side in sides for leaf, _ in side.terms} | {side.found for side in sides if side.found is not None}


def _same(sign: str, right: Sum) -> list[tuple[str, int | None]]:
    """Return a comparison with a constant in both ways to write it: below 16 is at most 15."""
    if right.terms:
        return [(sign, None)]
    number = right.constant
    other = {"<": ("<=", number - 1), "<=": ("<", number + 1), ">": (">=", number + 1), ">=": (">", number - 1)}
    return [(sign, number), *([other[sign]] if sign in other else [])]


def _is_written(comparison: tuple[str, int | None], written: tuple[str, str]) -> bool:
    """Return whether a comparison has a sign and a right side; a name may stand for any constant."""
    sign, text = written
    digits = text.replace("_", "")
    if comparison[0] != sign:
        return False
    return not digits.isdecimal() or comparison[1] == int(digits)


_NEGATED = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "s<": "s>", "s>": "s<", "s<=": "s>=", "s>=": "s<="}


def _negated(condition: Condition) -> str:
    if condition is Condition.SET:
        return "!&"
    text = condition.value
    signed = "s" if text.startswith("s") else ""
    return signed + _NEGATED[text.removeprefix("s")]
