"""Streams of operations, groups of clients, and what is recorded of them."""

import numpy as np
import pytest
from kernel_scenarios import HOLD_ODD
from kernels import chain_image, chase, verified

import verifier
from grafting import compile_graft
from grafting.diagnostics import GraftError
from kernel_model import Exponential, Kernel
from kernel_model.core import chance, recording
from kernel_model.results.statistics import RELATIVE_ERROR, bucket_of

PS = 1000


def test_the_core_and_the_statistics_have_the_same_buckets() -> None:
    values = [v for b in range(61) for v in (1 << b, (1 << b) + 1, (3 << b) >> 1)]
    assert [recording.bucket_of(v) for v in values] == [bucket_of(v) for v in values]
    assert recording.bucket_of((1 << 62) - 1) == recording.BUCKETS - 1


@pytest.mark.parametrize("in_kernel", [True, False])
def test_a_stream_does_what_as_many_jobs_do(in_kernel: bool) -> None:
    traces = []
    for streamed in (True, False):
        kernel = Kernel(engine="python", trace=True)
        disk, app = kernel.server("disk", image=chain_image(4), block=64), kernel.client("app")
        graft = (kernel.attach if in_kernel else kernel.load)(chase(), to=app, slots={"disk": disk})
        starts = np.arange(50, dtype=np.uint64) % np.uint64(4)
        if streamed:
            kernel.stream(app, graft=graft, slot="disk", op="read", bodies=starts[:4], operations=50, in_flight=1,
                          think_ns=Exponential(500))  # fmt: skip
        else:
            kernel.jobs(app, graft=graft, slot="disk", op="read", bodies=starts, think_ns=Exponential(500))
        app.run()
        kernel.run()
        traces.append([(time, what) for time, what, *_ in kernel.events()])  # the tags differ
    assert traces[0] == traces[1]


def test_a_percentile_is_at_most_its_stated_error_too_high_and_never_too_low() -> None:
    kernel = Kernel(engine="python")
    disk, app = kernel.server("disk", service_ns=Exponential(700)), kernel.client("app")
    jobs = kernel.jobs(app, slot=disk, bodies=bytes(8), count=400, arrivals_ns=np.arange(400) * 1500)
    latency = kernel.record(app)
    app.run()
    kernel.run()
    rows = jobs.results()
    exact = np.sort(rows["finished"] - rows["arrival"])
    found = latency.histogram
    assert (found.count, found.total) == (400, int(exact.sum()))
    assert (found.minimum, found.maximum) == (int(exact[0]), int(exact[-1]))
    for rank in (1, 40, 200, 360, 396, 400):
        true = int(exact[rank - 1])
        assert true <= found.at_rank(rank) <= true * (1 + RELATIVE_ERROR)


def test_latency_counts_from_the_intended_start() -> None:
    kernel = Kernel(engine="python", prices={})
    disk, app = kernel.server("disk", service_ns=1000), kernel.client("app")
    kernel.stream(app, slot=disk, bodies=bytes(8), operations=10, interval_ns=400)
    latency = kernel.record(app)
    app.run()
    kernel.run()
    # arrivals every 400 ns, service 1000: operation n = 1 .. 10 is ready at 400 + 1000 n
    assert latency.histogram.total == sum(400 + 1000 * n - 400 * n for n in range(1, 11)) * PS


def test_operations_that_begin_in_the_warm_up_are_not_recorded() -> None:
    kernel = Kernel(engine="python", prices={})
    disk, app = kernel.server("disk", service_ns=100), kernel.client("app")
    kernel.stream(app, slot=disk, bodies=bytes(8), operations=100, interval_ns=400)
    latency = kernel.record(app, after_ns=20_000)
    app.run()
    kernel.run()
    assert latency.histogram.count == 51  # those at 20,000, 20,400, .. 40,000


def test_what_ends_otherwise_than_replied_is_counted_apart() -> None:
    kernel = Kernel(engine="python")
    disk, app = kernel.server("disk", image=bytes(64), block=64), kernel.client("app")
    kernel.stream(app, slot=disk, bodies=np.array([0, 5], np.uint64), operations=20)
    latency = kernel.record(app)
    app.run()
    kernel.run()
    assert (latency.histogram.count, latency.others) == (10, 10)


def test_a_long_stream_takes_no_more_room_than_a_short_one() -> None:
    sizes = []
    for operations in (50, 2000):
        kernel = Kernel(engine="python")
        disk = kernel.server("disk", image=chain_image(2), block=64)
        users = kernel.clients("user", 5)
        stream = kernel.stream(users, slot=disk, bodies=bytes(8), operations=operations, in_flight=3)
        users.run(depth=3)
        kernel.run()
        assert stream.begun == kernel.statistics.operations_completed == operations
        sizes.append([array.nbytes for array in kernel.tables[:-1]] + [int(kernel.tables.meter[0]["arena_used"])])
        assert kernel.storage.used["job"] == 15
    assert sizes[0] == sizes[1]


def test_a_row_does_not_begin_anew_while_a_handler_holds_a_request_of_it() -> None:
    holds_odd_tags = verified({"submit": HOLD_ODD})
    kernel = Kernel(engine="python")
    disk, app = kernel.server("disk", image=chain_image(2), block=64), kernel.client("app")
    kernel.load(holds_odd_tags, to=app, slots={"disk": disk})
    stream = kernel.stream(app, slot=disk, bodies=bytes(8), operations=9, in_flight=1)
    latency = kernel.record(app)
    app.run()
    kernel.run()
    # The second operation is held and nobody releases it: it starves, and its row stays taken.
    assert (stream.begun, latency.histogram.count, latency.others) == (2, 1, 1)


def test_clients_of_a_group_draw_as_if_each_had_been_made_alone() -> None:
    assert chance.seeds_of(7, 3, 4).tolist() == [list(chance.seeds(7, number)) for number in range(3, 7)]
    kernel = Kernel(engine="python")
    disk = kernel.server("disk")
    users = kernel.clients("user", 3)
    assert [users[i].row for i in range(len(users))] == [1, 2, 3]
    kernel.stream(users, slot=disk, bodies=bytes(8), operations=30, think_ns=Exponential(400))
    users.run()
    kernel.run()
    assert kernel.accounts["user"].counts["prepare"] == 30


def test_mistakes_with_streams_are_told() -> None:
    kernel = Kernel(engine="python")
    disk, app = kernel.server("disk"), kernel.client("app")
    kernel.jobs(app, slot=disk, bodies=bytes(8), count=2)
    for wrong in (
        lambda: kernel.stream(app, slot=disk, bodies=bytes(8), operations=5),
        lambda: kernel.stream(kernel.client("b"), slot=disk, bodies=bytes(8), operations=0),
        lambda: kernel.clients("none", 0),
        lambda: kernel.clients("few", 2, completions=4).run(depth=5),
    ):
        with pytest.raises(GraftError) as error:
            wrong()
        assert error.value.diagnostics[0].code == "G0801"


def test_a_host_takes_no_operations_of_a_stream() -> None:
    twice = """
    graft twice
    protocol block { op read(index: u64) }
    cap disk: block
    on reply(msg) from disk.read {
        if msg.tag != 1 { send disk.read(0) tag 1 else { return deliver } }
        return deliver
    }
    """
    kernel = Kernel(engine="python", cores=2)
    disk = kernel.server("disk", image=chain_image(4), block=64, core=1)
    host = kernel.host("host", to=disk)
    kernel.load(verifier.verify(compile_graft(twice)), to=host, slots={"disk": disk})
    app = kernel.client("app")
    kernel.stream(app, slot=host.endpoint, bodies=np.zeros(1, np.uint64), operations=20, in_flight=1)
    app.run()
    kernel.run()
    assert kernel.tables.stream[0]["begun"] == kernel.accounts["host"].count("dispatch_reply") == 20
