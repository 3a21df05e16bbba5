"""`match` as a balanced tree of comparisons.

The arms are turned into intervals that cover the subject's type, the first arm that contains a value owning it; a tree
of `<` over their bounds then decides in log2(intervals) steps. Where one value stands out between two intervals of the
same arm, a single `==` decides.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from grafting import typed
from grafting.diagnostics import InternalError
from grafting.lowering.expressions import scalar
from grafting.lowering.frame import Frame
from grafting.lowering.ir import Label, Number, constant
from grafting.types import BoolType, register_type


@dataclass(frozen=True, slots=True)
class Interval:
    """The values `first` .. `last`, inclusive, go to arm number `arm`."""

    first: int
    last: int
    arm: int


def intervals(arms: tuple[typed.MatchArm, ...], minimum: int, maximum: int) -> tuple[Interval, ...]:
    """Return disjoint intervals, in order, that cover minimum .. maximum; neighbours have different arms."""
    ranges = [
        (first, last, number)
        for number, arm in enumerate(arms)
        for first, last in arm.ranges or ((minimum, maximum),)
        if first <= last
    ]
    ranges.sort()
    cuts = sorted({minimum, *(first for first, _, _ in ranges), *(last + 1 for _, last, _ in ranges)})
    found: list[Interval] = []
    active: list[tuple[int, int]] = []  # heap of (arm, last value) that began at or before the cut
    begun = 0
    for start, after in zip(cuts, [*cuts[1:], maximum + 1], strict=True):
        if start > maximum:
            break
        while begun < len(ranges) and ranges[begun][0] <= start:
            heapq.heappush(active, (ranges[begun][2], ranges[begun][1]))
            begun += 1
        while active and active[0][1] < start:
            heapq.heappop(active)
        if not active:
            raise InternalError(f"no arm of a match covers {start}")
        arm = active[0][0]
        if found and found[-1].arm == arm:
            found[-1] = Interval(found[-1].first, after - 1, arm)
        else:
            found.append(Interval(start, after - 1, arm))
    return tuple(found)


def match(f: Frame, stmt: typed.Match, block: Callable[[Frame, typed.Block], None]) -> None:
    """Lower a match; `block` lowers the body of an arm."""
    type_ = register_type(stmt.subject.type)
    value = scalar(f, stmt.subject)
    f.ir.at(stmt.subject.span)
    if isinstance(type_, BoolType):
        subject, minimum, maximum, signed = f.ir.number(f"zext i1 {value} to i64"), 0, 1, False
    else:
        subject, minimum, maximum, signed = Number(value), type_.minimum, type_.maximum, type_.signed
    labels = [f.ir.label("arm") for _ in stmt.arms]
    _decide(f, subject, "slt" if signed else "ult", intervals(stmt.arms, minimum, maximum), labels)
    end = f.ir.label("matched")
    for label, arm in zip(labels, stmt.arms, strict=True):
        f.ir.begin(label)
        block(f, arm.body)
        f.ir.jump(end)
    f.ir.begin(end)


def _decide(f: Frame, subject: Number, less: str, parts: tuple[Interval, ...], labels: list[Label]) -> None:
    match parts:
        case (only,):
            f.ir.jump(labels[only.arm])
        case (before, single, after) if before.arm == after.arm and single.first == single.last:
            equal = f.ir.flag(f"icmp eq i64 {subject}, {constant(single.first)}")
            f.ir.branch(equal, labels[single.arm], labels[before.arm])
        case _:
            half = len(parts) // 2
            low, high = f.ir.label("low"), f.ir.label("high")
            below = f.ir.flag(f"icmp {less} i64 {subject}, {constant(parts[half].first)}")
            f.ir.branch(below, low, high)
            f.ir.begin(low)
            _decide(f, subject, less, parts[:half], labels)
            f.ir.begin(high)
            _decide(f, subject, less, parts[half:], labels)
