"""One source, two tiers: compiled and plain Python run the same model, event for event."""

import pytest
from kernel_scenarios import Scenario


@pytest.mark.parametrize("block", range(10))
def test_both_tiers_write_the_same_trace_and_the_same_accounts(block: int) -> None:
    for seed in range(12 * block, 12 * block + 12):
        plain, compiled = Scenario(seed, "python"), Scenario(seed, "numba")
        plain.run()
        compiled.run()
        assert plain.kernel.events() == compiled.kernel.events(), seed
        assert plain.kernel.accounts == compiled.kernel.accounts
        assert plain.kernel.statistics == compiled.kernel.statistics


def test_the_same_seed_gives_the_same_trace() -> None:
    first, second = Scenario(7, "python"), Scenario(7, "python")
    first.run()
    second.run()
    assert first.kernel.events() == second.kernel.events()


def test_stopping_in_between_changes_nothing() -> None:
    whole, pieces = Scenario(3, "python"), Scenario(3, "python")
    whole.kernel.run(20_000)
    for until in range(0, 20_001, 97):
        pieces.kernel.run(until)
    pieces.kernel.run(20_000)
    assert whole.kernel.events() == pieces.kernel.events()
    assert whole.kernel.accounts == pieces.kernel.accounts
