"""The model as a user meets it: twenty lines that work, mistakes that are told, limits that hold."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from kernels import answers, chain_image, chase, verified
from machines import DISK, graft

import kernel_model
from grafting.diagnostics import GraftError, InternalError
from kernel_model import Kernel
from kernel_model.hosting import Jump, Script, call, compute


def test_twenty_lines_of_python_build_and_run_a_model() -> None:
    kernel = Kernel("sel4-skylake", seed=1)
    disk = kernel.server("disk", image=chain_image(4), block=64, service_ns=200)
    app = kernel.client("app")
    chain = kernel.attach(chase(), to=app, slots={"disk": disk})
    jobs = kernel.jobs(app, graft=chain, slot="disk", op="read", bodies=np.zeros(100, np.uint64))
    app.run("submit", depth=4)
    kernel.run()
    results = jobs.results()
    assert (results["outcome"] == 0).all()
    assert answers(kernel, jobs).tolist() == [3] * 100
    assert app.wakeups < 400
    assert kernel.accounts["app"].ns["graft"] > 0
    assert kernel.statistics.operations_completed == 100


def test_importing_the_package_loads_no_numba_and_making_a_plain_kernel_neither() -> None:
    script = "import sys, kernel_model; kernel_model.Kernel(engine='python').run(); print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_public_name_can_be_had() -> None:
    assert all(getattr(kernel_model, name) for name in kernel_model.__all__)
    with pytest.raises(AttributeError):
        _ = kernel_model.nothing


def test_maps_can_be_read_and_written_from_python() -> None:
    kernel = Kernel(engine="python")
    disk, app = kernel.server("disk"), kernel.client("app")
    chain = kernel.attach(chase(), to=app, slots={"disk": disk})
    kernel.map(chain, "wanted")[7] = 42
    assert kernel.map(chain, "wanted").get(7) == 42
    assert kernel.map(chain, "wanted").get(8) is None


def test_two_loads_can_share_their_maps() -> None:
    kernel = Kernel(engine="python")
    disk, app, proved = kernel.server("disk"), kernel.client("app"), chase()
    first = kernel.load(proved, to=app, slots={"disk": disk})
    second = kernel.load(proved, to=disk, slots={"disk": disk}, maps=first)
    kernel.map(first, "wanted")[1] = 2
    assert kernel.map(second, "wanted")[1] == 2


# --- mistakes ---------------------------------------------------------------------------------------------------------


def base() -> tuple[Kernel, Any, Any]:
    kernel = Kernel(engine="python")
    return kernel, kernel.server("disk"), kernel.client("app")


@pytest.mark.parametrize("unverified", [graft({"reply": "r0 = 0\nexit"}, slots=(DISK,)), None, "graft"])
def test_only_what_was_verified_can_be_attached(unverified: Any) -> None:
    kernel, disk, app = base()
    with pytest.raises(TypeError, match="Verified"):
        kernel.attach(unverified, to=app, slots={"disk": disk})


@pytest.mark.parametrize(
    ("code", "mistake"),
    [
        ("G0802", lambda k, d, a: k.attach(chase(), to=a, slots={})),
        ("G0802", lambda k, d, a: k.attach(chase(), to=a, slots={"disk": d, "disc": d})),
        ("G0802", lambda k, d, a: k.map(k.attach(chase(), to=a, slots={"disk": d}), "wnated")),
        ("G0802", lambda k, d, a: k.attach(verified({"request": "r0 = 0\nexit"}), to=a, slots={"disk": d})),
        ("G0807", lambda k, d, a: k.load(verified({"request": "r0 = 0\nexit"}), to=a, slots={"disk": d})),
        ("G0807", lambda k, d, a: k.load(verified({"timer": "r0 = 0\nexit"}), to=d, slots={"disk": d})),
        ("G0802", lambda k, d, a: k.jobs(a, slot="disk", bodies=b"", count=1)),
        ("G0806", lambda k, d, a: k.jobs(a, slot=d, op="read", bodies=b"", count=1)),
        ("G0806", lambda k, d, a: k.jobs(a, slot=d, bodies=np.zeros(3), count=3)),
        ("G0806", lambda k, d, a: k.jobs(a, slot=d, bodies=np.zeros(0, np.uint64))),
        ("G0806", lambda k, d, a: k.jobs(a, slot=d, bodies=bytes(8), count=3, tags=np.zeros(2, np.uint64))),
        ("G0810", lambda k, d, a: k.jobs(a, slot=d, bodies=bytes(8), count=2, tags=np.zeros(2, np.uint64))),
        ("G0801", lambda k, d, a: k.client("app")),
        ("G0801", lambda k, d, a: k.client("idle/0")),
        ("G0801", lambda k, d, a: k.client("other", core=1)),
        ("G0801", lambda k, d, a: k.client("other", priority=99)),
        ("G0801", lambda k, d, a: k.server("other", service_ns=-1)),
        ("G0801", lambda k, d, a: k.server("other", image=bytes(10), block=512)),
        ("G0801", lambda k, d, a: a.run("submit", depth=1000)),
        ("G0801", lambda k, d, a: a.run("call", depth=2)),
        ("G0801", lambda k, d, a: (k.run(100), k.run(50))),
        ("G0801", lambda k, d, a: Kernel(prices={"entri": 3})),
        ("G0801", lambda k, d, a: Kernel(cores=0)),
        ("G0801", lambda k, d, a: Kernel(engine="c")),
        ("G0830", lambda k, d, a: Kernel("sel5")),
    ],
)
def test_a_mistake_is_told_with_its_code(code: str, mistake: Any) -> None:
    with pytest.raises(GraftError, match=code):
        mistake(*base())


def test_a_misspelt_slot_is_told_the_right_one() -> None:
    kernel, disk, app = base()
    with pytest.raises(GraftError) as raised:
        kernel.attach(chase(), to=app, slots={"dsk": disk})
    assert "did you mean `disk`?" in raised.value.diagnostics[0].helps


def test_a_handler_that_may_take_too_long_is_refused_at_attach() -> None:
    kernel = Kernel(prices={"interpreted_alu": 1e6}, engine="python")
    disk, app = kernel.server("disk"), kernel.client("app")
    with pytest.raises(GraftError, match="G0804"):
        kernel.attach(chase(), to=app, slots={"disk": disk})


def test_a_script_that_lets_no_time_pass_is_told_so() -> None:
    kernel = Kernel(prices={}, engine="numba")
    kernel.script("idler", [Jump(0)])
    with pytest.raises(GraftError, match="G0809"):
        kernel.run()


def test_a_generator_that_yields_nonsense_is_told_so() -> None:
    kernel = Kernel(engine="python")

    def program(_kernel: Kernel, _me: Any) -> Script:
        yield "call"  # type: ignore[misc]

    kernel.process("app", program)
    with pytest.raises(GraftError, match="G0811"):
        kernel.run()


def test_an_exception_of_a_generator_comes_through() -> None:
    kernel = Kernel(engine="python")

    def program(_kernel: Kernel, _me: Any) -> Script:
        yield compute(5)
        raise ZeroDivisionError

    kernel.process("app", program)
    with pytest.raises(ZeroDivisionError):
        kernel.run()


def test_a_broken_proof_is_our_bug_and_stops_the_model() -> None:
    kernel, disk, app = base()
    kernel.attach(chase(), to=app, slots={"disk": disk})
    kernel.tables.handler["limit"][0] = 3
    kernel.jobs(app, slot=disk, bodies=bytes(8), count=1)
    app.run()
    with pytest.raises(InternalError, match="broke its proof"):
        kernel.run()


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["python", "numba"])
def test_tables_grow_while_the_model_runs(engine: Any) -> None:
    kernel = Kernel(prices={}, engine=engine)
    door = kernel.endpoint("door", capacity=3000)
    app = kernel.client("app", completions=3000)
    kernel.jobs(app, slot=door, bodies=bytes(8), count=3000)
    app.run("submit", depth=3000)
    kernel.run()
    assert kernel.statistics.requests_in_flight == 3000
    kernel.server("late", endpoint=door, reply=b"x" * 40, service_ns=10)
    kernel.run()
    assert kernel.statistics.requests_in_flight == 0


def test_the_arena_moves_and_maps_and_answers_move_with_it() -> None:
    kernel = Kernel(engine="numba")
    disk, app = kernel.server("disk", image=chain_image(3), block=64), kernel.client("app")
    chain = kernel.attach(chase(), to=app, slots={"disk": disk})
    kernel.map(chain, "wanted")[1] = 10
    before = kernel.arena
    kernel.server("huge", image=bytes(1 << 26), block=512)
    jobs = kernel.jobs(app, graft=chain, slot="disk", op="read", bodies=bytes(8), count=3)
    app.run()
    kernel.run()
    assert kernel.arena is not before
    assert kernel.map(chain, "wanted")[1] == 10
    assert answers(kernel, jobs).tolist() == [2, 2, 2]


def test_a_python_process_and_compiled_ones_share_a_kernel() -> None:
    kernel = Kernel("linux-host")
    disk = kernel.server("disk", image=chain_image(3), block=64)
    log: list[int] = []

    def program(_kernel: Kernel, _me: Any) -> Script:
        for index in (2, 0, 1):
            answer = yield call(disk, 0, index.to_bytes(8, "little"))
            log.append(answer.body[8])

    kernel.process("app", program)
    kernel.run()
    assert log == [2, 0, 1]
