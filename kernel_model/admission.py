"""Admission in time: from a proven vector of counts to the worst time that an activation can take.

    bound = sum over counts of (count x worst price of that primitive), entry, metering and commit included
            + where caches are finite, footprint x worst price of a line: it may be cold (`footprints`)

A verified handler whose bound is above `ATTACH_NS` is refused at attach; at each event the kernel compares the bound
with what is left of the eager window and of the fuel (`core.activation.admit`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from grafting import limits
from grafting.diagnostics import fail
from grafting.hooks import Event
from grafting.program import Handler, Program
from jit.predecode import HELPER_PLACE
from kernel_model.core import prices
from kernel_model.core.running import HELPER_PRICES
from kernel_model.core.tables import NONE

if TYPE_CHECKING:
    from grafting.costs import CostVector

EAGER_NS = 5_000  # longest an activation may delay whoever is running: some ten seL4 calls
ATTACH_NS = 1_000_000  # a handler above this could not even run deferred without being felt
FUEL_NS = 1_000_000  # of one operation, all its activations together: hundreds of hops of a small handler
PERIOD_NS = 10_000  # shortest period of a timer armed at attach: its interrupts take a few per cent of a core
COPYING = (1008, 1009)


def bound_ps(program: Program, bounds: CostVector, worst: Any, engine: str) -> int:
    """Return the longest time, ps, that one activation within `bounds` takes, its commit included.

    The helpers `copy` and `fill` write into one map value or one stack frame, which bounds their bytes.
    """
    base = prices.NATIVE if engine == "native" else prices.INTERPRETED
    total = int(worst[prices.ACTIVATE]) + 2 * int(worst[prices.ACCOUNT_SWITCH])
    total += 2 * int(worst[prices.CLOCK_READ]) + int(worst[prices.DEBIT])
    total += sum(count * int(worst[base + class_]) for class_, count in enumerate(bounds.by_class))
    longest_copy = max([limits.STACK_BYTES, *(spec.value_size for spec in program.maps)])
    for number, count in bounds.helpers:
        if number in COPYING:
            total += count * longest_copy * int(worst[prices.HELPER_COPY_BYTE])
        price = HELPER_PRICES[HELPER_PLACE[number]]
        total += count * int(worst[price]) if price != NONE else 0
    total += bounds.sends * int(worst[prices.DISPATCH_SEND])
    return total + bounds.bytes_sent * int(worst[prices.HELPER_COPY_BYTE])


def handler_rows(program: Program) -> Iterator[tuple[Handler, int, int, int]]:
    """Yield (handler, event number, slot or NONE, operation or NONE), the more special before the more general."""
    for handler in sorted(program.handlers, key=lambda h: (h.hook.name, h.selector == "", h.name)):
        event = handler.hook.event
        if event is None:
            raise fail("G0803", f"handler `{handler.name}` has the hook {handler.hook.name}, which no kernel runs")
        slot, op = _selected(program, handler, event) if handler.selector else (NONE, NONE)
        yield handler, event.value, slot, op


def _selected(program: Program, handler: Handler, event: Event) -> tuple[int, int]:
    """Resolve a selector: slot.operation of a reply or failure, protocol.operation of a request."""
    place, _, name = handler.selector.partition(".")
    if event is Event.REQUEST:
        for protocol in program.serves:
            op = protocol.op(name)
            if protocol.name == place and op is not None:
                return NONE, op.number
    else:
        for number, slot in enumerate(program.slots):
            op = slot.protocol.op(name)
            if slot.name == place and op is not None:
                return number, op.number
    raise fail("G0803", f"handler `{handler.name}` is for `{handler.selector}`, which the graft does not declare")
