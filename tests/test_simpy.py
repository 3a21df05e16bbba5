"""The simulator against the same model in SimPy: every operation ends at the same picosecond."""

from typing import get_args

import pytest

from benchmarks.population import Mechanism, Population, Shape
from kernel_model.core import prices

simpy_model = pytest.importorskip("benchmarks.simpy_model")


@pytest.mark.parametrize("mechanism", get_args(Mechanism))
@pytest.mark.parametrize("shape", [Shape(3, 1), Shape(4, 3, hops=1), Shape(7, 16, hops=5, block=64, service_ns=7)])
def test_every_operation_ends_when_the_model_in_simpy_says(mechanism: Mechanism, shape: Shape) -> None:
    population = Population(shape, mechanism, 4, engine="native", tier="python")
    kernel = population.kernel
    price = {name: int(kernel.tables.price[number]) for name, number in prices.INDEX.items()}
    expected = simpy_model.run(shape, mechanism, 4, price, kernel.now_ps)
    population.start()
    kernel.run()
    assert population.finished() == expected
