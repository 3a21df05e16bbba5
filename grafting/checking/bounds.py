"""What is said about an index that is not proved: the range known, the length, and the ways out.

error[G0301]: this index may be out of range
   |  node.keys[i]
   |            ^ `i` is 0..=63 here, `keys` has 31 elements
"""

from __future__ import annotations

from grafting import typed
from grafting.checking.intervals import Interval
from grafting.checking.reporter import Reporter
from grafting.diagnostics import Span
from grafting.types import ArrayType, IntType, StructType

WORD = (1 << 64) - 1


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
    report: Reporter, span: Span, known: Interval, type_: IntType, array: ArrayType, name: str
) -> None:  # fmt: skip
    """Report an index whose `known` range does not lie in the array."""
    text = report.text(span)
    elements = f"`{name}` has {array.length} element{'s' if array.length > 1 else ''}"
    if known.low > array.length - 1 or known.high < 0:
        value = f"`{text}`" if known.low == known.high and text == str(known.low) else f"`{text}` is {known}"
        report.error(
            "G0301",
            f"the index is out of range: {elements}",
            span,
            f"{value if known.low != known.high or text != str(known.low) else 'this'}, the last is {array.length - 1}",
            notes=("array bounds are proved at compile time",),
        )
        return
    whole = Interval(type_.minimum, type_.maximum)
    range_ = f"`{text}` may be any `{type_}` here" if known == whole else f"`{text}` is {known} here"
    helps = [f"guard it: `if {_guard(text, known, array.length)} {{ .. }}`"]
    if array.length & (array.length - 1) == 0 and not type_.signed:
        helps.append(f"mask it: `{_operand(text)} & {array.length - 1}`")
    helps.append(f"or say what happens: `let x = {name}[{text}] else {{ .. }}`")
    report.error("G0301", "this index may be out of range", span, f"{range_}, {elements}",
                 notes=("array bounds are proved at compile time, from constants, types and the conditions around",),
                 helps=tuple(helps))  # fmt: skip


def _guard(text: str, known: Interval, length: int) -> str:
    operand = _operand(text)
    upper = f"{operand} < {length}"
    if known.low >= 0:
        return upper
    lower = f"{operand} >= 0"
    return lower if known.high < length else f"{lower} && {upper}"


def _operand(text: str) -> str:
    return text if text.replace("_", "").replace(".", "").isalnum() else f"({text})"
