"""The cost of a run as a vector of counts, not a time.

A proven bound and an observed count have the same shape, so that they compare field by field. A cost profile of
`kernel_model` turns a vector into nanoseconds; nothing here knows any.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from grafting.isa import CostClass


@dataclass(frozen=True, slots=True)
class CostVector:
    """Counts of one activation (or, as a bound, their worst case, each field on its own).

    `instructions`: executed RFC 9669 instructions, local callees included, helper bodies not.
    `by_class`: the same, split by `CostClass`, indexed by its value.
    `helpers`: calls by helper number, ascending. `bytes_sent`: bodies of all sends.
    `stack_bytes`: deepest use of all frames together.
    """

    instructions: int = 0
    by_class: tuple[int, ...] = field(default=(0,) * len(CostClass))
    helper_calls: int = 0
    helpers: tuple[tuple[int, int], ...] = ()
    sends: int = 0
    bytes_sent: int = 0
    map_operations: int = 0
    stack_bytes: int = 0

    def maximum(self, other: CostVector) -> CostVector:
        """Return the least vector that bounds both, field by field."""
        mine, theirs = dict(self.helpers), dict(other.helpers)
        return CostVector(
            instructions=max(self.instructions, other.instructions),
            by_class=tuple(map(max, self.by_class, other.by_class)),
            helper_calls=max(self.helper_calls, other.helper_calls),
            helpers=tuple((n, max(mine.get(n, 0), theirs.get(n, 0))) for n in sorted(mine | theirs)),
            sends=max(self.sends, other.sends),
            bytes_sent=max(self.bytes_sent, other.bytes_sent),
            map_operations=max(self.map_operations, other.map_operations),
            stack_bytes=max(self.stack_bytes, other.stack_bytes),
        )

    def covers(self, other: CostVector) -> bool:
        """Whether every count of `other` is within this bound."""
        mine = dict(self.helpers)
        return (
            all(
                getattr(self, f.name) >= getattr(other, f.name)
                for f in fields(self)
                if f.name not in ("by_class", "helpers")
            )
            and all(a >= b for a, b in zip(self.by_class, other.by_class, strict=True))
            and all(mine.get(n, 0) >= count for n, count in other.helpers)
        )

    def as_dict(self) -> dict[str, object]:
        """Return the vector as JSON-ready data, classes and helpers by name or number."""
        return {
            "instructions": self.instructions,
            "sends": self.sends,
            "bytes_sent": self.bytes_sent,
            "stack_bytes": self.stack_bytes,
            "helper_calls": self.helper_calls,
            "map_operations": self.map_operations,
            "by_class": {c.name.lower(): self.by_class[c] for c in CostClass if self.by_class[c]},
            "helpers": {str(number): count for number, count in self.helpers},
        }
