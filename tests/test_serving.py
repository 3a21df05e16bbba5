"""Servers do what their acts say in plain Python, fail as often as they are told to, and answer with their graft."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from kernels import verified

from grafting import GraftError, compile_graft
from kernel_model import Kernel
from kernel_model.core.tables import OUTCOMES
from kernel_model.hosting import Completion, call
from kernel_model.serving import Act, Append, Constant, Faults, Read, Store, Write
from verifier import verify

BLOCKS = b"".join(number.to_bytes(8, "little") + bytes([number + 1] * 8) for number in range(4))


def word(value: int) -> bytes:
    return value.to_bytes(8, "little")


def asked(ops: dict[int, Act], *requests: tuple[int, bytes], faults: Faults | None = None) -> tuple[Any, ...]:
    """What a server of these operations replies, and the kernel, for its stores."""
    kernel = Kernel(engine="python", prices={"entry": 1})
    server = kernel.server("server", ops=ops, service_ns=10, faults=faults or Faults())
    got: list[Completion] = []

    def program(_kernel: Kernel, _me: object) -> Iterator[Any]:
        for op, body in requests:
            got.append((yield call(server, op, body)))

    kernel.process("client", program)  # type: ignore[arg-type]
    kernel.run()
    return kernel, [(done.status, done.body) for done in got]


def test_every_act_replies_as_its_plain_python_says() -> None:
    image, log = Store(BLOCKS, 16), Store(bytes(32), 16)
    ops: dict[int, Act] = {0: Read(image), 1: Write(image), 3: Append(log, b"ack"), 4: Constant(b"always")}
    requests = [
        (0, word(2)), (0, word(4)), (0, b"short"), (1, word(1) + b"newbytes"), (1, word(9)), (1, bytes(24)),
        (3, b"first"), (3, bytes(17)), (3, b"second"), (4, b""),
    ]  # fmt: skip
    _, replies = asked(ops, *requests)
    expected = [ops[op].answer(body) for op, body in requests]
    assert replies == [(reply.status, reply.body) for reply in expected]


def test_what_is_written_is_read_again_and_what_was_read_before_stays_as_it_was() -> None:
    image = Store(BLOCKS, 16)
    new = word(1) + b"newbytes"
    kernel, replies = asked({0: Read(image), 1: Write(image)}, (0, word(1)), (1, new), (0, word(1)))
    assert [body for _, body in replies] == [BLOCKS[16:32], word(1), new]
    assert kernel.stored(image) == BLOCKS[:16] + new + BLOCKS[32:]


def test_a_log_takes_entries_in_order_until_it_is_full() -> None:
    log = Store(bytes(32), 16)
    kernel, replies = asked({0: Append(log, b"ok")}, (0, b"one"), (0, b"two"), (0, b"three"))
    assert [status for status, _ in replies] == [0, 0, -28]
    assert kernel.stored(log) == b"one".ljust(16, b"\0") + b"two".ljust(16, b"\0")


def test_an_operation_that_a_server_has_not_is_not_supported() -> None:
    _, replies = asked({1: Constant(b"x")}, (0, b""), (1, b""), (7, b""))
    assert replies == [(-95, b""), (0, b"x"), (-95, b"")]


def test_a_failed_request_has_no_effect_and_a_short_reply_is_cut() -> None:
    log = Store(bytes(16), 16)
    kernel, replies = asked({0: Append(log, b"ok")}, (0, b"lost"), faults=Faults(failed=1.0, status=-9))
    assert replies == [(-9, b"")]
    assert kernel.stored(log) == bytes(16)
    _, replies = asked({0: Constant(b"a long reply")}, (0, b""), faults=Faults(short=1.0, short_bytes=6))
    assert replies == [(0, b"a long")]


def test_failures_come_as_often_as_they_are_injected() -> None:
    _, replies = asked({0: Constant(b"")}, *[(0, b"")] * 2000, faults=Faults(failed=0.2))
    failed = sum(status != 0 for status, _ in replies)
    assert 340 < failed < 460  # 400 +- 3.4 standard deviations


def test_servers_that_are_alike_share_endpoint_and_data() -> None:
    log = Store(bytes(64), 16)
    kernel = Kernel(engine="python", prices={})
    first = kernel.server("first", ops={0: Append(log, b"")}, service_ns=10)
    second = kernel.server("second", like=first)
    assert second.endpoint is first.endpoint
    client = kernel.client("client")
    kernel.jobs(client, slot=first, bodies=b"entry", count=4)
    client.run("submit", 4)
    kernel.run()
    assert kernel.stored(log) == b"entry".ljust(16, b"\0") * 4
    work = [kernel.accounts[name].counts["work"] for name in ("first", "second")]
    assert sum(work) == 4 * 10_000
    assert min(work) > 0


CACHE = """
graft cache
protocol kv { op get(key: u64) -> Value }
serve kv
struct Value { number: u64, bytes: [u8; 8] }
map cache: hash<u64, Value, 16>
on request(msg) for get(key) {
    let value = cache[key] else { return pass }
    return answer value
}
"""


@pytest.mark.parametrize("place", ["attach", "load"])
def test_what_was_read_is_answered_by_the_graft_in_the_kernel_and_in_the_server(place: str) -> None:
    kernel = Kernel(engine="python")
    server = kernel.server("kv", ops={0: Read(Store(BLOCKS, 16))}, service_ns=500)
    graft = getattr(kernel, place)(verify(compile_graft(CACHE)), to=server, slots={})
    kernel.keep_reads(server, graft, "cache")
    client = kernel.client("client")
    keys = np.array([1, 2, 1, 1, 3, 2], np.uint64)
    jobs = kernel.jobs(client, slot=server, bodies=keys)
    client.run()
    kernel.run()
    bodies = [kernel.arena[r["body"] : r["body"] + r["length"]].tobytes() for r in jobs.results()]
    assert bodies == [BLOCKS[16 * int(key) :][:16] for key in keys]
    counts = kernel.accounts["kv"].counts
    assert counts["work"] == 3 * 500_000  # the misses
    assert counts["map_update"] == 3
    assert kernel.totals.counts["activate" if place == "attach" else "activate_user"] == 6


def test_a_handler_in_a_server_may_refuse_but_not_steer_or_send() -> None:
    kernel = Kernel(engine="python")
    server = kernel.server("kv", reply=b"never")
    kernel.load(verified({"request": "r0 = 2\nexit"}), to=server, slots={"disk": server})
    client = kernel.client("client")
    jobs = kernel.jobs(client, slot=server, bodies=b"")
    client.run()
    kernel.run()
    assert OUTCOMES[jobs.results()["outcome"][0]] == "refused"
    steering = kernel.server("steering", reply=b"")
    kernel.load(verified({"request": "r0 = 3\nexit"}), to=steering, slots={"disk": server})
    kernel.jobs(client, slot=steering, bodies=b"")
    client.run()
    with pytest.raises(GraftError, match="G0808"):
        kernel.run()
    from kernel_scenarios import RETRY

    with pytest.raises(GraftError, match="G0807"):
        kernel.load(verified({"request": RETRY}), to=server, slots={"disk": server})


def test_only_blocks_of_the_right_size_are_kept() -> None:
    kernel = Kernel(engine="python")
    server = kernel.server("kv", ops={0: Read(Store(BLOCKS, 32)), 1: Constant(b"")})
    graft = kernel.attach(verify(compile_graft(CACHE)), to=server, slots={})
    with pytest.raises(GraftError, match="G0806"):
        kernel.keep_reads(server, graft, "cache")
    with pytest.raises(GraftError, match="G0802"):
        kernel.keep_reads(server, graft, "cache", op=1)
    with pytest.raises(GraftError, match="G0802"):
        kernel.keep_reads(server, graft, "cash")


SUM = """
graft sum
protocol block { op read(index: u64) -> Pair }
struct Pair { a: u64, b: u64 }
struct Weights { a: u64, b: u64 }
cap disk: block
map weights: hash<u64, Weights, 64>
map sums: hash<u64, Pair, 64>
on reply(msg) from disk.read {
    let pair = msg.reply else { return deliver }
    let weight = weights[msg.tag] else { return deliver }
    let a = pair.a * weight.a
    let b = pair.b * weight.b
    sums[msg.tag] = Pair { a: a, b: b } else { return deliver }
    return deliver
}
"""


@pytest.mark.parametrize("place", ["attach", "load"])
def test_a_job_takes_long_arguments_and_its_answer_from_maps(place: str) -> None:
    kernel = Kernel(engine="python")
    disk = kernel.server("disk", image=BLOCKS, block=16)
    client = kernel.client("client")
    graft = getattr(kernel, place)(verify(compile_graft(SUM)), to=client, slots={"disk": disk})
    weights = np.array([[2, 3], [5, 7]], "<u8")
    jobs = kernel.jobs(
        client, graft=graft, slot="disk", op="read", bodies=np.array([1, 2], np.uint64), map="weights",
        values=weights.view(np.uint8), result="sums",
    )  # fmt: skip
    client.run()
    kernel.run()
    bodies = [kernel.arena[r["body"] : r["body"] + r["length"]].view("<u8").tolist() for r in jobs.results()]
    assert bodies == [[2, 3 * 0x0202020202020202], [10, 7 * 0x0303030303030303 % 2**64]]
    assert len(kernel.map(graft, "sums")) == 0
    counts = kernel.accounts["client"].counts
    assert counts["map_delete"] == 2


def test_a_job_that_waited_longer_than_its_patience_ends_refused() -> None:
    kernel = Kernel(engine="python", prices={})
    server = kernel.server("server", service_ns=100)
    client = kernel.client("client")
    jobs = kernel.jobs(client, slot=server, bodies=b"", count=4, arrivals_ns=np.array([0, 10, 20, 150]), patience_ns=85)
    client.run()
    kernel.run()
    results = jobs.results()
    assert [OUTCOMES[outcome] for outcome in results["outcome"]] == ["replied", "refused", "replied", "replied"]
    assert (results["finished"] - results["arrival"]).tolist() == [100_000, 90_000, 180_000, 150_000]
