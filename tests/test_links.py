"""Linked requests: what starts when, what severs a chain, who is told; equal to real io_uring over random chains."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from kernel_model import Kernel, Server
from kernel_model.hosting import Completion, Script, cancel, wait
from kernel_model.linking import DRAIN, HARDLINK, LINK, SKIP, Entry, chain, guard, message, nop, timeout
from kernel_model.linux import io_uring, linked_chains

BATCHES = 40  # of random chains, here; benchmarks/linked.py runs as many as one likes
NO_OPERATION = 99

Entries = Callable[[Server], tuple[Entry, ...]]


def outcomes(*entries: Entry | Callable[[Server], Entry], room: int = 64) -> list[tuple[int, str]]:
    """Submit entries in one call; return (tag, outcome) of all completions, in order. A reply has 16 bytes."""
    kernel = Kernel(engine="python")
    server = kernel.server("disk", reply=bytes(range(16)), service_ns=300)
    done: list[Completion] = []
    status: list[int] = []

    def program(_kernel: Kernel, _me: object) -> Script:
        status.append((yield chain(*(entry if isinstance(entry, Entry) else entry(server) for entry in entries))))
        while True:
            done.extend((yield wait(1, timeout_ns=50_000)))

    kernel.process("client", program, completions=room)
    kernel.run(until_ns=100_000)
    return [(c.tag, c.outcome) for c in done] if status == [0] else [(-1, str(status))]


def ask(tag: int, flags: int = 0, want: int = 0) -> Callable[[Server], Entry]:
    return lambda server: message(server, tag=tag, flags=flags, want=want)


def told(*tags: int, but: dict[int, str] | None = None) -> list[tuple[int, str]]:
    return [(tag, (but or {}).get(tag, "replied")) for tag in tags]


def test_a_link_starts_the_next_only_after_success() -> None:
    assert outcomes(ask(1, LINK), ask(2, LINK), ask(3)) == told(1, 2, 3)
    assert outcomes(nop(tag=1, status=-5, flags=LINK), ask(2, LINK), ask(3)) == told(
        1, 2, 3, but={1: "error", 2: "cancelled", 3: "cancelled"}
    )


def test_a_short_transfer_severs_a_chain_but_is_itself_a_success() -> None:
    assert outcomes(ask(1, LINK, want=17), ask(2)) == told(1, 2, but={2: "cancelled"})
    assert outcomes(ask(1, LINK, want=16), ask(2)) == told(1, 2)


def test_a_chain_ends_at_the_first_entry_without_the_flag() -> None:
    assert sorted(outcomes(nop(tag=1, status=-5, flags=LINK), nop(tag=2), nop(tag=3))) == told(
        1, 2, 3, but={1: "error", 2: "cancelled"}
    )


def test_a_chain_ends_at_the_submission() -> None:
    assert outcomes(ask(1, LINK), ask(2, LINK)) == told(1, 2)


def test_a_hard_link_survives_errors_and_short_transfers() -> None:
    assert outcomes(nop(tag=1, status=-5, flags=HARDLINK), ask(2, HARDLINK, want=20), ask(3)) == told(
        1, 2, 3, but={1: "error"}
    )


def test_a_hard_link_does_not_survive_a_failed_submission() -> None:
    assert outcomes(ask(1, HARDLINK), Entry(NO_OPERATION, 2, HARDLINK), ask(3)) == told(
        1, 2, 3, but={1: "cancelled", 2: "error", 3: "cancelled"}
    )


def test_a_guard_cancels_what_takes_too_long_and_the_chain_is_severed() -> None:
    assert outcomes(ask(1, LINK), guard(50, tag=2, flags=LINK), ask(3)) == told(
        2, 1, 3, but={2: "timed_out", 1: "cancelled", 3: "cancelled"}
    )


def test_a_guard_that_was_not_needed_is_cancelled_and_the_chain_goes_on() -> None:
    assert outcomes(ask(1, LINK), guard(50_000, tag=2, flags=LINK), ask(3)) == told(1, 2, 3, but={2: "cancelled"})


def test_a_guard_with_nothing_to_guard_cannot_be_submitted() -> None:
    assert outcomes(guard(50, tag=1)) == [(1, "error")]


def test_a_timeout_is_a_failure_that_a_hard_link_survives() -> None:
    assert outcomes(timeout(100, tag=1, flags=LINK), ask(2)) == told(1, 2, but={1: "timed_out", 2: "cancelled"})
    assert outcomes(timeout(100, tag=1, flags=HARDLINK), ask(2)) == told(1, 2, but={1: "timed_out"})


def test_a_draining_chain_waits_for_all_before_it_and_all_behind_wait_for_it() -> None:
    assert outcomes(ask(1), nop(tag=2), nop(tag=3, flags=DRAIN), nop(tag=4)) == [
        (2, "replied"), (1, "replied"), (3, "replied"), (4, "replied")
    ]  # fmt: skip
    assert [tag for tag, _ in outcomes(ask(1, DRAIN), nop(tag=2))] == [1, 2]


def test_success_with_skip_is_not_told_and_failure_is() -> None:
    assert outcomes(ask(1, LINK | SKIP), ask(2, SKIP | LINK), ask(3)) == told(3)
    assert outcomes(ask(1, LINK | SKIP), nop(tag=2, status=-5, flags=LINK | SKIP), ask(3)) == [(2, "error")]


def test_after_a_failure_without_skip_the_rest_is_told_whatever_its_flags() -> None:
    assert outcomes(nop(tag=1, status=-5, flags=LINK), ask(2, LINK | SKIP), ask(3, SKIP)) == told(
        1, 2, 3, but={1: "error", 2: "cancelled", 3: "cancelled"}
    )


def test_a_chain_without_room_for_its_completions_is_not_begun() -> None:
    assert outcomes(ask(1, LINK), ask(2, LINK), ask(3), room=2) == [(-1, "[-11]")]


def test_bytes_of_a_reply_become_the_next_body_unchanged() -> None:
    kernel = Kernel(engine="python")
    image = b"".join(bytes([n]) * 7 + bytes(1) + (n + 1).to_bytes(8, "little") for n in range(4))
    disk = kernel.server("disk", image=image, block=16)
    found: list[bytes] = []

    def program(_kernel: Kernel, _me: object) -> Script:
        yield chain(
            message(disk, body=bytes(8), tag=1, flags=LINK | SKIP, want=16),
            message(disk, tag=2, flags=LINK | SKIP, source=0, at=8, take=8, want=16),
            message(disk, tag=3, source=1, at=8, take=8),
        )
        found.extend(c.body for c in (yield wait(1)))

    kernel.process("client", program)
    kernel.run()
    assert found == [image[32:48]]


@pytest.fixture(scope="module")
def linux() -> Iterator[linked_chains.Linux]:
    reason = io_uring.unavailable()
    if reason:
        pytest.skip(reason)
    linux = linked_chains.Linux()
    yield linux
    linux.close()


def test_random_chains_end_as_in_real_io_uring(linux: linked_chains.Linux) -> None:
    for seed in range(BATCHES):
        assert linked_chains.check(linux, seed) == [], seed


def test_a_difference_from_real_io_uring_would_be_found(linux: linked_chains.Linux) -> None:
    batch = (linked_chains.Item(linked_chains.Kind.NOP, LINK, -5), linked_chains.Item(linked_chains.Kind.NOP, 0))
    real = linux.run(batch, 2)
    assert linked_chains.differences(batch, real, linked_chains.run_model(batch)) == []
    assert linked_chains.differences(batch, real, [(0, -5), (1, 0)]) != []
    assert linked_chains.differences(batch, real, list(reversed(real))) != []


def cancelling(tag: int, *entries: Entry | Callable[[Server], Entry]) -> list[tuple[int, str]]:
    """Submit a chain, cancel an entry by its tag while the first is served, and a draining chain after all."""
    kernel = Kernel(engine="python")
    server = kernel.server("disk", reply=bytes(16), service_ns=30_000, core=0)
    done: list[Completion] = []

    def program(_kernel: Kernel, _me: object) -> Script:
        yield chain(*(entry if isinstance(entry, Entry) else entry(server) for entry in entries))
        assert (yield cancel(tag)) == 0
        assert (yield chain(nop(tag=99, flags=DRAIN))) == 0
        while True:
            done.extend((yield wait(1, timeout_ns=500_000)))

    client = kernel.process("client", program)
    kernel.run(until_ns=1_000_000)
    process = kernel.tables.process[client.row]
    assert kernel.tables.chains[process["chains"]]["under_way"] == process["cq_reserved"] == 0
    return [(c.tag, c.outcome) for c in done]


def test_an_entry_cancelled_before_its_turn_ends_at_its_turn_and_severs_the_chain() -> None:
    assert cancelling(2, ask(1, LINK), ask(2, LINK), ask(3)) == told(1, 2, 3, 99, but={2: "cancelled", 3: "cancelled"})
    assert cancelling(2, ask(1, LINK), ask(2, HARDLINK), ask(3)) == told(1, 2, 3, 99, but={2: "cancelled"})


def test_a_chain_that_waits_to_drain_can_be_cancelled() -> None:
    assert cancelling(2, ask(1), ask(2, DRAIN | LINK), ask(3), ask(4)) == told(
        1, 2, 3, 4, 99, but={2: "cancelled", 3: "cancelled"}
    )


def test_a_guard_cancelled_before_its_turn_guards_nothing() -> None:
    assert sorted(cancelling(3, ask(1, LINK), ask(2, LINK), guard(1, tag=3))) == told(1, 2, 3, 99, but={3: "cancelled"})
