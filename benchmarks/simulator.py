"""How fast and how small the simulator is; every answer of every run is checked, and so are the books.

python -m benchmarks.simulator [PART ...] [--scale N]        parts: speed simpy memory start; default: all

speed   completed hops a second of wall time, one process, 256 clients, 16 servers, 4 hops, replies of 512 bytes
simpy   the same model in SimPy (`benchmarks.simpy_model`): equal completion times, and the ratio per hop
memory  bytes of a client, and the greatest resident size of a run with a million clients
start   compiling the core with an empty cache, and the start of a process that finds it there

Each speed is the best of five runs: other work on the machine can only slow a run down.
"""

from __future__ import annotations

import functools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import TypeVar, get_args

import numpy as np

from benchmarks import machine, simpy_model
from benchmarks.population import Engine, Mechanism, Population, Shape
from jit.hot import TierName
from kernel_model import Exponential, Kernel
from kernel_model.core import prices

RUNS = 5
SHAPES = {
    "one core": Shape(),
    "servers on another core": Shape(cores=2),
    "one core, a device of 3 us in each server": Shape(device_ns=3000),
}
MILLION = 1_000_000


T = TypeVar("T")


def timed(run: Callable[[], T]) -> tuple[float, T]:
    """Return the seconds of wall time that a call takes, and what it returns."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def hops_a_second(shape: Shape, mechanism: Mechanism, operations: int, engine: Engine, tier: TierName) -> float:
    """Return the best of several runs, each checked."""
    best = 0.0
    for _ in range(RUNS if tier == "numba" else 1):
        population = Population(shape, mechanism, operations, engine=engine, tier=tier)
        population.start()
        best = max(best, population.hops / timed(population.kernel.run)[0])
        population.finished()
    return best


def speed(scale: int) -> str:
    """Return the table of hops a second."""
    rows = []
    for where, shape in SHAPES.items():
        for mechanism in get_args(Mechanism):
            found = [hops_a_second(shape, mechanism, 400 * scale, engine, "numba") for engine in get_args(Engine)]
            plain = hops_a_second(shape, mechanism, 2, "native", "python")
            rows.append((mechanism, where, *(f"{rate / 1e6:.2f}" for rate in found), f"{plain / 1e3:.1f}"))
    columns = ("mechanism", "where", "M hops/s, interpreted", "M hops/s, native", "plain Python, thousand hops/s")
    return machine.table(columns, rows)


def simpy(scale: int) -> str:
    """Return the table of the comparison."""
    rows = []
    for mechanism in get_args(Mechanism):
        fast = hops_a_second(Shape(), mechanism, 400 * scale, "native", "numba")
        population = Population(Shape(), mechanism, 10 * scale, engine="native")
        begin, price = population.kernel.now_ps, population.kernel.tables.price
        named = {name: int(price[number]) for name, number in prices.INDEX.items()}
        population.start()
        population.kernel.run()
        model = functools.partial(simpy_model.run, Shape(), mechanism, 10 * scale, named, begin)
        seconds, found = timed(model)
        assert found == population.finished(), "the two models end an operation at different times"
        rate = population.hops / seconds
        rows.append((mechanism, f"{population.hops:,}", f"{rate / 1e3:.1f}", f"{fast / 1e6:.2f}", f"{fast / rate:.0f}"))
    return machine.table(("mechanism", "hops compared", "SimPy, thousand hops/s", "here, M hops/s", "ratio"), rows)


def memory(scale: int) -> str:
    """Return the table of sizes; the runs are processes of their own."""
    rows = []
    for clients, body in ((MILLION, 0), (MILLION, 64)):
        line = subprocess.run(
            [sys.executable, "-c", f"from benchmarks.simulator import crowd; crowd({clients}, {body}, {scale})"],
            check=True, capture_output=True, text=True,
        ).stdout.split()  # fmt: skip
        rows.append((f"{clients:,}", body, *line))
    return machine.table(("clients", "bytes of a body", "bytes of a client", "GiB resident, at most", "seconds"), rows)


def crowd(clients: int, body: int, scale: int) -> None:
    """Run clients that think 1 ms and call, `scale` operations each; print the sizes.

    The server's priority is below theirs: so it begins when all of them wait.
    """
    start = time.perf_counter()
    kernel = Kernel("sel4-skylake")
    disk = kernel.server("disk", reply=bytes(body), service_ns=200, capacity=16, priority=7)
    base = kernel.storage.bytes_used()
    users = kernel.clients("user", clients)
    bodies = np.zeros((clients if body else 1, body), np.uint8)
    kernel.stream(users, slot=disk, bodies=bodies, operations=clients * scale, think_ns=Exponential(1e6))
    latency = kernel.record(users)
    users.run()
    kernel.run()
    assert latency.histogram.count == kernel.statistics.operations_completed == clients * scale
    each = (kernel.storage.bytes_used() - base) / clients
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    print(f"{each:.0f} {peak:.2f} {time.perf_counter() - start:.1f}")


def start(scale: int) -> str:
    """Return the table of start-up times: of processes that make a kernel and run it."""
    script = "from kernel_model import Kernel; k = Kernel('sel4-skylake'); k.client('a'); k.run()"
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o700)
        environment = {**os.environ, "XDG_CACHE_HOME": directory}
        command = [sys.executable, "-c", script]
        process = functools.partial(subprocess.run, command, check=True, env=environment)
        seconds = [timed(process)[0] for _ in range(1 + RUNS)]
    return machine.table(
        ("", "seconds"), [("nothing cached", f"{seconds[0]:.1f}"), ("cached", f"{min(seconds[1:]):.2f}")]
    )


PARTS: dict[str, Callable[[int], str]] = {"speed": speed, "simpy": simpy, "memory": memory, "start": start}


def main(arguments: list[str]) -> None:
    """Measure the parts named, or all."""
    scale = int(arguments[arguments.index("--scale") + 1]) if "--scale" in arguments else 1
    print(machine.heading(), machine.load(), sep="\n")
    for name in [part for part in arguments if part in PARTS] or PARTS:
        print(f"\n{name}\n\n{PARTS[name](scale)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
