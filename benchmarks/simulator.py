"""How fast the simulator is: hops (requests answered) a second of wall time, one process, every answer checked.

python -m benchmarks.simulator [LOOKUPS]      (default 50,000, in a B-tree of depth 4)
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import grafting
import verifier
from benchmarks import machine
from kernel_model import costs
from kernel_model.kernel import Kernel
from kernel_model.mechanisms import ALL
from kernel_model.mechanisms.scenario import Scenario
from kernel_model.workloads import btree
from kernel_model.workloads.lookups import btree_lookups
from kernel_model.workloads.workload import DEFAULT_TOPOLOGIES, Answer, bind

SAMPLE = Path(__file__).resolve().parents[1] / "samples" / "btree_lookup.graft"
DEPTH = 4


def main(lookups: int) -> None:
    verified = verifier.verify(grafting.compile_graft(SAMPLE.read_text()))
    profile = costs.load("sel4-skylake")
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        image = btree.write_image(Path(directory), DEPTH)
        for topology in DEFAULT_TOPOLOGIES:
            workload = btree_lookups(image, topology, lookups=lookups, seed=1)
            scenario = Scenario(workload, verified, bind(verified.program, workload))
            for mechanism in ALL:
                kernel = Kernel(profile)
                stage = mechanism.build(kernel, scenario)
                kernel.run()
                stage.start()
                start = time.perf_counter()
                kernel.run()
                seconds = time.perf_counter() - start
                for number, result in enumerate(stage.results()):
                    body = kernel.arena[result["body"] : result["body"] + result["length"]].tobytes()
                    assert workload.check(number, Answer(int(result["outcome"]), int(result["status"]), body)) is None
                rows.append((mechanism.name, topology, f"{lookups * DEPTH / seconds / 1e6:.2f}"))
    print(machine.heading())
    print(machine.table(("mechanism", "topology", "million hops/s"), rows))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
