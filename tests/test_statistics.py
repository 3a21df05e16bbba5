"""Theorems on the histogram and the confidence intervals."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_model.results.statistics import (
    RELATIVE_ERROR,
    Histogram,
    bucket_of,
    bucket_range,
    histogram_of,
    mean_interval,
)

VALUES = st.integers(min_value=0, max_value=1 << 62)
STREAMS = st.lists(VALUES, min_size=1, max_size=200)


def exact_percentile(values: list[int], percent: float) -> int:
    return sorted(values)[max(1, math.ceil(len(values) * percent / 100 - 1e-9)) - 1]


@given(VALUES)
def test_every_value_lies_in_its_bucket(value: int) -> None:
    low, high = bucket_range(bucket_of(value))
    assert low <= value <= high
    assert high - low <= low * RELATIVE_ERROR


@given(VALUES)
def test_buckets_ascend_without_a_gap(value: int) -> None:
    bucket = bucket_of(value)
    assert bucket_range(bucket + 1)[0] == bucket_range(bucket)[1] + 1


@given(STREAMS, st.sampled_from([0.1, 1, 25, 50, 90, 99, 99.9, 100]))
def test_a_percentile_is_never_low_and_at_most_the_stated_error_high(values: list[int], percent: float) -> None:
    true = exact_percentile(values, percent)
    reported = histogram_of(values).percentile(percent)
    assert true <= reported <= true + math.floor(true * RELATIVE_ERROR)


@given(STREAMS)
def test_count_sum_and_extremes_are_exact(values: list[int]) -> None:
    histogram = histogram_of(values)
    assert (histogram.count, histogram.total) == (len(values), sum(values))
    assert (histogram.minimum, histogram.maximum) == (min(values), max(values))
    assert histogram.summary().maximum == max(values)


@given(st.lists(VALUES), st.lists(VALUES))
def test_merging_equals_recording_both_streams(first: list[int], second: list[int]) -> None:
    merged = histogram_of(first)
    merged.merge(histogram_of(second))
    assert merged == histogram_of([*first, *second])


def test_an_empty_histogram_has_no_percentile_and_a_negative_value_is_refused() -> None:
    with pytest.raises(ValueError, match="rank"):
        Histogram().percentile(50)
    with pytest.raises(ValueError, match=">= 0"):
        Histogram().record(-1)


def test_the_median_interval_covers_the_true_median_about_95_times_in_100() -> None:
    rng = random.Random(1)
    covered = 0
    for _ in range(300):
        interval = histogram_of(int(rng.expovariate(1e-6)) for _ in range(400)).percentile_interval(50)
        assert interval is not None
        covered += interval.low <= math.log(2) * 1e6 * (1 + RELATIVE_ERROR) and interval.high >= math.log(2) * 1e6
    assert 0.92 <= covered / 300 <= 0.995


def test_the_batch_mean_interval_covers_the_true_mean_of_a_correlated_stream() -> None:
    rng = random.Random(2)
    covered = 0
    for _ in range(200):
        level, values = 0.0, []
        for _ in range(2000):
            level = 0.5 * level + rng.gauss(0, 1)
            values.append(10 + level)
        interval = mean_interval(values)
        assert interval is not None
        covered += interval.low <= 10 <= interval.high
    assert 0.90 <= covered / 200 <= 0.99


def test_too_few_values_give_no_interval_rather_than_a_wrong_one() -> None:
    assert histogram_of([1, 2, 3]).percentile_interval(99) is None
    assert mean_interval([1.0] * 10) is None
