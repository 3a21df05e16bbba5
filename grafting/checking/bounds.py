"""What is said about an index that is not proved: the range known, the length, the conditions that led there, and the
ways out. The form is that of the verifier's refusals (`verifier.report`).

    error[G0301]: this is element i of `keys`, which has 31
      --> x.graft:9:26
       |
     8 |         if i < 64 {
       |            ------ `i < 64` is true
     9 |             sum += node.keys[i]
       |                              ^ `i` is 0..=63 here
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from grafting import typed
from grafting.checking.intervals import Interval
from grafting.checking.reporter import Reporter
from grafting.diagnostics import Label, Span
from grafting.types import ArrayType, IntType, StructType

WORD = (1 << 64) - 1
_DECISIONS = 4  # of a path that are shown, the last ones that speak of what is in the index
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")


def array_name(place: typed.Place, steps: int) -> str:
    """Return the last name in a place cut after `steps` steps: the field's, or else the variable's."""
    name = place.root.name
    type_ = place.root.type
    for step in place.steps[:steps]:
        if isinstance(step, typed.FieldStep) and isinstance(type_, StructType):
            name = next(field.name for field in type_.fields if field.offset == step.offset)
        elif isinstance(step, typed.IndexStep):
            name = f"{name}[..]" if not name.endswith("[..]") else name
        type_ = step.type
    return name


def report_index(
    report: Reporter,
    span: Span,
    known: Interval,
    type_: IntType,
    array: ArrayType,
    name: str,
    path: Sequence[Label] = (),
) -> None:
    """Report an index whose `known` range does not lie in the array; `path`: the decisions on the way."""
    text = report.text(span)
    proof = "array bounds are proved at compile time, from constants, types and the conditions around"
    message = f"this is element {text} of `{name}`, which has {array.length}"
    range_ = "" if text == str(known.low) else f"`{text}` is {known} here"
    if known == Interval(type_.minimum, type_.maximum):
        range_ = f"`{text}` may be any `{type_}` here"
    about = _about(report, text, path)
    if known.low > array.length - 1 or known.high < 0:
        last = f"the last is {array.length - 1}"
        label = f"{range_}, {last}" if range_ else last
        report.error("G0301", message, span, label, path=about, notes=("array bounds are proved at compile time",))
        return
    loop = _loop(report, text, array.length, path)
    helps = [f"bound the loop: `{loop}`"] if loop is not None else []
    helps.append(f"guard it: `if {_guard(text, known, array.length)} {{ .. }}`")
    if array.length & (array.length - 1) == 0 and not type_.signed:
        helps.append(f"mask it: `{_operand(text)} & {array.length - 1}`")
    helps.append(f"or say what happens: `let x = {name}[{text}] else {{ .. }}`")
    report.error("G0301", message, span, range_, path=about, notes=(proof,), helps=tuple(helps))


def _about(report: Reporter, text: str, path: Sequence[Label]) -> tuple[Label, ...]:
    """Return the decisions that speak of what an index names."""
    names = set(_NAME.findall(text))
    return tuple(label for label in path if names & set(_NAME.findall(report.text(label.span))))[-_DECISIONS:]


def _loop(report: Reporter, index: str, length: int, path: Sequence[Label]) -> str | None:
    """Return the head of the loop that counts an index, its end such that the index lies in the array."""
    for label in reversed(path):
        head = report.text(label.span)
        if head.startswith(f"for {index} in "):
            start, dots, end = head.rpartition("..")
            return f"{start}{dots}{length}" if end.strip().isdigit() else f"{head} max {length}"
    return None


def _guard(text: str, known: Interval, length: int) -> str:
    operand = _operand(text)
    upper = f"{operand} < {length}"
    if known.low >= 0:
        return upper
    lower = f"{operand} >= 0"
    return lower if known.high < length else f"{lower} && {upper}"


def _operand(text: str) -> str:
    return text if text.replace("_", "").replace(".", "").isalnum() else f"({text})"
