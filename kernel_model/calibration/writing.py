"""From measured primitives to the profile `linux-host`, as TOML.

Linux is not a microkernel, so the model's operations are read as what a Linux program does instead: a `call` is a write
that wakes the peer and a read that blocks, so the second crossing of each direction is inside `dispatch_call` and
`dispatch_reply`. Both directions of a round trip do the same, so each is half of one.

What is not measured stays an estimate of the base `linux`; `MISSING` says what that is, and why. A figure that bounds a
single occurrence (`worst`) cannot be had from means: it is the estimate's, or the interval's end if that is higher.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

from jit import host
from kernel_model.calibration import topology
from kernel_model.calibration.samples import STATISTIC, Measured
from kernel_model.costs import library

NAME = "linux-host"
PS_PER_NS = 1000
DIGITS, ROUNDING = 4, 0.002  # of a figure that is written; what a difference of three such figures may lose
COMPOSITES = {
    "null_syscall": ("null_syscall", "entry + exit", "getppid"),
    "call": ("pipe_half", "entry + dispatch_call + switch + exit", "half a round trip by two pipes"),
    "reply": ("pipe_half", "entry + dispatch_reply + switch + exit", "half a round trip by two pipes"),
    "notify_waiter": ("futex_half", "entry + notify + switch + exit", "half a round trip by futex"),
}
"""Composite -> what was measured, equation, note."""

DERIVED = {
    "exit": "null_syscall - entry",
    "dispatch_call": "call - entry - switch - exit",
    "dispatch_reply": "reply - entry - switch - exit",
    "notify": "notify_waiter - entry - switch - exit",
}
PRIMITIVES = {
    "switch": "half of two yields in turn, less one yield alone",
    "refill_line": "a random walk over four times the core's own cache, less one over an eighth of it",
    "copy_byte": "32 KiB against 8 bytes through a pipe, in and out",
    "clock_read": "the cycle counter",
    "clock": "clock_gettime",
    "activate": "an empty BPF program",
    "activate_user": "an empty handler in machine code",
    "map_lookup": "of a hash map of 128 entries, in machine code",
    "map_update": "of a hash map of 128 entries, in machine code",
    "map_delete": "of a hash map of 128 entries, in machine code",
}
"""Primitive -> how it was measured."""

PARTS = {
    "handover": "blocking one process, making another ready, changing to it",
    "sleep": "clock_nanosleep beside a process that only computes",
    "message": "64 bytes through TCP, out and in, by one process",
    "redirect": "the same of a socket whose BPF program redirects to itself",
}
"""What the model does not charge, but the real kernel's chains are predicted from -> how it was measured."""

MISSING = {
    "interrupt, ipi, schedule, timer_arm, timer_cancel": "user mode cannot time them apart",
    "hook_check, debit, account_switch, slow_path": "Linux has no such thing",
    "page_fault, page_read, page_map, page_scan": "the modelled pager is not this kernel's",
    "prepare, reap, device_start": "work of a library or a driver that is not there",
    "ring_put, ring_take, ring_look, ring_arm, ring_line, dispatch_bell": "no two processes here share a ring",
    "helper_send, helper_answer, helper_release, helper_hint, helper_copy_byte": "they are the modelled kernel's own",
    "entry and exit apart": "only their sum can be timed",
}
"""What stays an estimate -> why."""

_KPTI = {"Mitigation: PTI": "on", "Not affected": "off", "Vulnerable": "off"}
_SPLIT = (0.5, 0.4, 0.6)  # of an empty system call that is its entry: value, low, high


def toml(measured: Mapping[str, Measured], rounds: int) -> str:
    """Return the profile's text. `measured`: the names of `system`, `code` and, if there are, `activate`, `sockets`."""
    hz = round(1e9 / measured["native_alu"].value, -7)
    worst = {name: figure.worst / PS_PER_NS for name, figure in library.packaged(NAME).primitives.items()}
    lines = [
        f"# {platform.system()} on this machine, by `graft calibrate`: {STATISTIC}, {rounds} rounds.",
        "#",
        "# Not measured, and estimates of the base:",
        *(f"#   {names}: {why}" for names, why in _missing(measured).items()),
        "",
        "schema = 1",
        f'name = "{NAME}"',
        f'title = "{platform.system()} {platform.release()}, pipe and futex between processes on one core"',
        f'cpu = "{host.processor()}"',
        f"hz = {hz:.0f} # dependent additions a second",
        'unit = "ns"',
        'base = "linux"',
        "register_bytes = 0 # every byte goes through the kernel's buffer",
        f'conditions = {{ caches = "hot", bytes = 8, fast_path = false, kpti = "{_kpti()}", note = "same core" }}',
        "",
        "[sources.calibrate]",
        f'text = "graft calibrate on the machine named as `cpu`, {host.machine()}: {STATISTIC}, {rounds} rounds"',
        f'cpu = "{host.processor()}"',
        "",
        "[composites]",
        *(
            f'{name} = {{ {_interval(measured[what])}, equation = "{equation}", {_MEASURED}, note = "{note}" }}'
            for name, (what, equation, note) in COMPOSITES.items()
        ),
        "",
        "[parts]",
        *(_figure(name, measured[name], how) for name, how in PARTS.items() if name in measured),
        "",
        *_sizes(),
        "[primitives]",
        f'entry = {{ {_interval(_entry(measured))}, certainty = "assumed", note = "half of the empty system call" }}',
        *(f'{name} = {{ equation = "{equation}", certainty = "derived" }}' for name, equation in DERIVED.items()),
        *(
            _primitive(name, _fitting(name, measured), worst[name], how)
            for name, how in PRIMITIVES.items()
            if name in measured
        ),
    ]
    for engine in ("native", "interpreted"):
        prefix = f"{engine}_"
        classes = {name: value for name, value in measured.items() if name.startswith(prefix)}
        lines += ["", f"[instructions.{engine}]"]
        lines += [
            _primitive(name.removeprefix(prefix), value, worst[name], "a microkernel")
            for name, value in classes.items()
        ]
    return "\n".join(lines) + "\n"


_MEASURED = 'certainty = "measured", source = "calibrate"'


def _sizes() -> list[str]:
    """Return the lines of the core's own cache, if the system tells how large it is."""
    cache = topology.told()
    if cache is None:
        return []
    origin = 'certainty = "measured", source = "calibrate", note = "as the system tells"'
    return [
        "[sizes]",
        f"cache = {{ value = {cache.size}, {origin} }}",
        f"line = {{ value = {cache.line}, {origin} }}",
        "",
    ]


def _missing(measured: Mapping[str, Measured]) -> dict[str, str]:
    return MISSING if "activate" in measured else {**MISSING, "activate": "bpf(2) is not allowed here"}


def _primitive(name: str, figure: Measured, worst: float, how: str) -> str:
    bound = max(worst, figure.high)
    return f'{name} = {{ {_interval(figure)}, worst = {bound:.{DIGITS}g}, {_MEASURED}, note = "{how}" }}'


def _figure(name: str, figure: Measured, how: str) -> str:
    return f'{name} = {{ {_interval(figure)}, {_MEASURED}, note = "{how}" }}'


def _interval(figure: Measured) -> str:
    value, low, high = (float(f"{number:.{DIGITS}g}") for number in (figure.value, figure.low, figure.high))
    return f"value = {value}, low = {low}, high = {high}"


def _entry(measured: Mapping[str, Measured]) -> Measured:
    null = measured["null_syscall"]
    value, low, high = (share * null.value for share in _SPLIT)
    return Measured(value, low, min(high, null.low))


def _fitting(name: str, measured: Mapping[str, Measured]) -> Measured:
    """Return a figure; a switch cannot be more than the wholes leave for it beside the empty system call."""
    figure = measured[name]
    if name != "switch":
        return figure
    room = min(measured[whole].low for whole in ("pipe_half", "futex_half")) - measured["null_syscall"].high
    room *= 1 - ROUNDING
    return Measured(min(figure.value, room), min(figure.low, room), min(figure.high, room))


def _kpti() -> str:
    file = Path("/sys/devices/system/cpu/vulnerabilities/meltdown")
    return _KPTI.get(file.read_text().strip(), "unknown") if file.exists() else "unknown"
