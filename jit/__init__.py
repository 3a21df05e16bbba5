"""Engines: what runs a graft.

    outcome = jit.interpret(program, memory)                        # a raw program on bytes
    state = jit.GraftState(program)
    result = jit.activate(program, "reply", jit.Message(tag=7, body=node), state, slots=None, clock=0)

The checked interpreter runs any program, verified or not, in two tiers of one source: plain Python, which is the
reference, and numba (`engine="numba"`). Verified programs also run as machine code (`engine="native"`, or by an engine
of their own):

    engine = jit.compile_native(verified)
    r0 = engine.run(memory)
    result = jit.activate(engine, "reply", jit.Message(tag=7, body=node), state)
    engine = jit.TieredEngine(verified)                             # interpreted until the code is there

Nothing heavy is imported until a name below is used, numba and LLVM not before a program is first run by them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jit.activation import activate, interpret
    from jit.events import Activation, Answer, Armed, Cancelled, Hint, Message, Outcome, Release, Send
    from jit.faults import Fault, FaultKind
    from jit.mapview import MapView
    from jit.native.batches import MESSAGE, Batch, activate_many
    from jit.native.engine import NativeEngine, compile_native
    from jit.state import Change, GraftState, Snapshot
    from jit.tiers import TieredEngine

_HOMES = {
    "MESSAGE": "native.batches",
    "Activation": "events",
    "Answer": "events",
    "Armed": "events",
    "Batch": "native.batches",
    "Cancelled": "events",
    "Change": "state",
    "Fault": "faults",
    "FaultKind": "faults",
    "GraftState": "state",
    "Hint": "events",
    "MapView": "mapview",
    "Message": "events",
    "NativeEngine": "native.engine",
    "Outcome": "events",
    "Release": "events",
    "Send": "events",
    "Snapshot": "state",
    "TieredEngine": "tiers",
    "activate": "activation",
    "activate_many": "native.batches",
    "compile_native": "native.engine",
    "interpret": "activation",
}

__all__ = [
    "MESSAGE",
    "Activation",
    "Answer",
    "Armed",
    "Batch",
    "Cancelled",
    "Change",
    "Fault",
    "FaultKind",
    "GraftState",
    "Hint",
    "MapView",
    "Message",
    "NativeEngine",
    "Outcome",
    "Release",
    "Send",
    "Snapshot",
    "TieredEngine",
    "activate",
    "activate_many",
    "compile_native",
    "interpret",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jit' has no attribute {name!r}")
    return getattr(import_module(f"jit.{_HOMES[name]}"), name)
