"""The kernel model: a simulated microkernel in which a verified graft runs in the kernel, in a client or in a server.

    kernel = kernel_model.Kernel("sel4-skylake", seed=1)

See `kernel_model.kernel` for twenty lines that do something. Names load when they are first used; numba only when a
kernel is made.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernel_model.accounting import Account as Account
    from kernel_model.contexts import Context as Context
    from kernel_model.contexts import Use as Use
    from kernel_model.handles import Attachment as Attachment
    from kernel_model.handles import Capability as Capability
    from kernel_model.handles import Client as Client
    from kernel_model.handles import CoreBounds as CoreBounds
    from kernel_model.handles import Endpoint as Endpoint
    from kernel_model.handles import Exponential as Exponential
    from kernel_model.handles import Jobs as Jobs
    from kernel_model.handles import Process as Process
    from kernel_model.handles import Server as Server
    from kernel_model.handles import Statistics as Statistics
    from kernel_model.handles import Uniform as Uniform
    from kernel_model.kernel import Kernel as Kernel

_HOME = {
    "Account": "accounting",
    "Context": "contexts",
    "Kernel": "kernel",
    "Use": "contexts",
    **dict.fromkeys(
        (
            "Attachment",
            "Capability",
            "Client",
            "CoreBounds",
            "Endpoint",
            "Exponential",
            "Jobs",
            "Process",
            "Server",
            "Statistics",
            "Uniform",
        ),
        "handles",
    ),
}

__all__ = [
    "Account",
    "Attachment",
    "Capability",
    "Client",
    "Context",
    "CoreBounds",
    "Endpoint",
    "Exponential",
    "Jobs",
    "Kernel",
    "Process",
    "Server",
    "Statistics",
    "Uniform",
    "Use",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
