"""Statistics of a run: a streaming histogram with a stated error, percentiles, confidence intervals.

`Histogram` counts whole numbers (picoseconds, here) in log-linear buckets, as HdrHistogram does: values below 2^(b+1)
have a bucket each, and every further power of two is divided into 2^b equal buckets, b being `PRECISION_BITS`.

    value      0 1 2 .. 255 | 256 258 .. 510 | 512 516 .. 1020 | ...      (b = 7)
    bucket       exact      |    width 2     |     width 4     |

A bucket that starts at v has a width of at most v / 2^b, and a percentile is reported as the greatest value of its
bucket, or the maximum seen if that is less. So with the true order statistic t, the reported r satisfies

    t <= r <= t * (1 + 2^-b)        RELATIVE_ERROR = 2^-7 < 0.8 %

Count, sum, minimum and maximum are exact (Python integers). Merging two histograms is adding their buckets, hence
equal to having recorded both streams into one. Percentiles follow the nearest-rank definition: p is the smallest
value v such that at least the fraction p of the values is <= v.

Confidence intervals assume nothing about the distribution of the values: that of a percentile comes from the order
statistics (the number of values below it is binomial), that of a mean from the means of consecutive batches
(Law & Kelton, *Simulation Modeling and Analysis*, section 9.5.3), which allows for correlation of neighbours. Over
independent replications (`estimate`) Student's t is used as it stands.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean, stdev

PRECISION_BITS = 7
RELATIVE_ERROR = 2.0**-PRECISION_BITS  # of a percentile, upwards only
CONFIDENCE = 0.95
_EXACT = 1 << (PRECISION_BITS + 1)  # values below have a bucket each

# Student's t, two-sided 95 %, for 1 .. 30 degrees of freedom (any table of the distribution); beyond, the normal's.
_T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def bucket_of(value: int) -> int:
    """Return the number of the bucket that holds `value` >= 0; buckets ascend with the values."""
    if value < _EXACT:
        return value
    shift = value.bit_length() - (PRECISION_BITS + 1)
    return (shift << PRECISION_BITS) + (value >> shift)


def bucket_range(bucket: int) -> tuple[int, int]:
    """Return the least and the greatest value of a bucket; the inverse of `bucket_of`."""
    if bucket < _EXACT:
        return bucket, bucket
    shift = (bucket >> PRECISION_BITS) - 1
    low = (bucket - (shift << PRECISION_BITS)) << shift
    return low, low + (1 << shift) - 1


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval that covers the true value with probability `CONFIDENCE`, in the unit of the values."""

    low: float
    high: float


@dataclass(slots=True)
class Histogram:
    """A stream of non-negative whole numbers, kept as counts per bucket; memory grows with the range, not the count."""

    buckets: Counter[int] = field(default_factory=Counter)
    count: int = 0
    total: int = 0
    minimum: int | None = None
    maximum: int | None = None

    def record(self, value: int, times: int = 1) -> None:
        """Count `value` (>= 0) `times` times."""
        if value < 0:
            raise ValueError(f"a histogram counts values >= 0, not {value}")
        self.buckets[bucket_of(value)] += times
        self.count += times
        self.total += value * times
        self.minimum = value if self.minimum is None else min(self.minimum, value)
        self.maximum = value if self.maximum is None else max(self.maximum, value)

    def merge(self, other: Histogram) -> None:
        """Add all that `other` has recorded."""
        self.buckets.update(other.buckets)
        self.count += other.count
        self.total += other.total
        self.minimum = _least(self.minimum, other.minimum)
        self.maximum = max((m for m in (self.maximum, other.maximum) if m is not None), default=None)

    @property
    def mean(self) -> float:
        """The exact mean; 0.0 of an empty histogram."""
        return self.total / self.count if self.count else 0.0

    def at_rank(self, rank: int) -> int:
        """Return the value of the given rank, from 1 for the least; relative error as the module states.

        Raises ValueError outside 1 .. count.
        """
        if not 1 <= rank <= self.count or self.maximum is None:
            raise ValueError(f"rank {rank} of {self.count} values")
        for bucket, seen in _cumulative(self.buckets):
            if seen >= rank:
                return min(bucket_range(bucket)[1], self.maximum)
        raise AssertionError("ranks up to count are covered")

    def percentile(self, percent: float) -> int:
        """Return the nearest-rank percentile, 0 < percent <= 100. Raises ValueError if nothing was recorded."""
        return self.at_rank(max(1, math.ceil(self.count * percent / 100 - 1e-9)))

    def percentile_interval(self, percent: float) -> Interval | None:
        """Return the order-statistics interval of a percentile, None if there are too few values for one."""
        p = percent / 100
        reach = _normal_quantile() * math.sqrt(self.count * p * (1 - p))
        low, high = math.floor(self.count * p - reach), math.ceil(self.count * p + reach) + 1
        if low < 1 or high > self.count:
            return None
        return Interval(self.at_rank(low), self.at_rank(high))

    def summary(self) -> Summary:
        """Return the usual percentiles. Raises ValueError if nothing was recorded."""
        return Summary(
            count=self.count,
            mean=self.mean,
            p50=self.percentile(50),
            p99=self.percentile(99),
            p999=self.percentile(99.9),
            maximum=self.at_rank(self.count),
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """What tables print of a histogram, in the unit of its values; percentiles with `RELATIVE_ERROR` upwards."""

    count: int
    mean: float
    p50: int
    p99: int
    p999: int
    maximum: int


def histogram_of(values: Iterable[int]) -> Histogram:
    """Return a histogram of the values."""
    histogram = Histogram()
    for value, times in Counter(values).items():
        histogram.record(value, times)
    return histogram


def mean_interval(values: Sequence[float], batches: int = 20) -> Interval | None:
    """Return the interval of the mean of a (possibly correlated) stream by batch means.

    `values` are cut into `batches` runs of equal length, what remains at the front being dropped as warm-up; None if a
    batch would be shorter than 2.
    """
    length = len(values) // batches
    if batches < 2 or length < 2:
        return None
    start = len(values) - length * batches
    means = [fmean(values[at : at + length]) for at in range(start, len(values), length)]
    half = student_95(batches - 1) * stdev(means) / math.sqrt(batches)
    centre = fmean(means)
    return Interval(centre - half, centre + half)


@dataclass(frozen=True, slots=True)
class Estimate:
    """An expectation estimated from independent values (two at least): their mean and its confidence interval."""

    values: tuple[float, ...]
    mean: float
    interval: Interval

    @property
    def count(self) -> int:
        """How many values it rests on."""
        return len(self.values)

    @property
    def half_width(self) -> float:
        """Half the interval's length."""
        return (self.interval.high - self.interval.low) / 2


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of independent values and its interval by Student's t. Raises ValueError for fewer than two."""
    if len(values) < 2:
        raise ValueError("one value has no spread: there must be at least two")
    centre, half = fmean(values), student_95(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Estimate(tuple(values), centre, Interval(centre - half, centre + half))


def student_95(degrees: int) -> float:
    """Return the two-sided 95 % quantile of Student's t distribution, the normal's beyond 30 degrees of freedom."""
    return _T_95[degrees - 1] if degrees <= len(_T_95) else _normal_quantile()


def _normal_quantile() -> float:
    return NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def _cumulative(buckets: Counter[int]) -> Iterator[tuple[int, int]]:
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        yield bucket, seen


def _least(a: int | None, b: int | None) -> int | None:
    return min((m for m in (a, b) if m is not None), default=None)
