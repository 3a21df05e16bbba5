"""Engines: what runs a graft.

    outcome = jit.interpret(program, memory)                        # a raw program on bytes
    state = jit.GraftState(program)
    result = jit.activate(program, "reply", jit.Message(tag=7, body=node), state, slots=None, clock=0)

The checked interpreter runs any program, verified or not, in two tiers of one source: plain Python, which is the
reference, and numba (`engine="numba"`). Nothing heavy is imported until a name below is used, numba not before a
program is first run by it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jit.activation import activate, interpret
    from jit.events import Activation, Answer, Armed, Cancelled, Hint, Message, Outcome, Release, Send
    from jit.faults import Fault, FaultKind
    from jit.mapview import MapView
    from jit.state import Change, GraftState, Snapshot

_HOMES = {
    "Activation": "events",
    "Answer": "events",
    "Armed": "events",
    "Cancelled": "events",
    "Change": "state",
    "Fault": "faults",
    "FaultKind": "faults",
    "GraftState": "state",
    "Hint": "events",
    "MapView": "mapview",
    "Message": "events",
    "Outcome": "events",
    "Release": "events",
    "Send": "events",
    "Snapshot": "state",
    "activate": "activation",
    "interpret": "activation",
}

__all__ = [
    "Activation",
    "Answer",
    "Armed",
    "Cancelled",
    "Change",
    "Fault",
    "FaultKind",
    "GraftState",
    "Hint",
    "MapView",
    "Message",
    "Outcome",
    "Release",
    "Send",
    "Snapshot",
    "activate",
    "interpret",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jit' has no attribute {name!r}")
    return getattr(import_module(f"jit.{_HOMES[name]}"), name)
