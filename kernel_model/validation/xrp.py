"""XRP's latencies from the layers of one read: a test that costs add up, and no evidence for grafts.

Zhong et al., *XRP: In-Kernel Storage Functions with eBPF*, OSDI 2022. Table 1 takes one 512-byte read apart, without
page table isolation. A lookup in a B-tree of depth d does d + 1 dependent reads (the last one is the value). Where the
next read is issued from decides which layers each of them passes:

    user           every read passes all layers
    syscall hook   one crossing; every read passes the other layers
    driver hook    all layers once; every further read passes driver and device only

    depth 10: 11 x 6272 = 69.0 us, published 78; 351 + 11 x 5921 = 65.5, published 68; 6272 + 10 x 3337 = 39.6,
    published 40

BPF-KV's latencies (Table 3) were measured with page table isolation, which the profile's part `kpti` adds to each
crossing; it is assumed. SPDK keeps the kernel out: device only. A prediction may be 15 % off.
"""

from __future__ import annotations

from collections.abc import Mapping

from kernel_model.costs import Profile
from kernel_model.validation.predictions import Prediction, within

TOLERANCE = 0.15
DEPTH = 10
HOPS = (1, 6)  # chained reads of BPF-KV, the ends of what was published

PUBLISHED_US: Mapping[str, float] = {
    "B-tree depth 10, user": 78,
    "B-tree depth 10, syscall hook": 68,
    "B-tree depth 10, driver hook": 40,
    "BPF-KV 1 hop, read()": 13.4,
    "BPF-KV 6 hops, read()": 48.8,
    "BPF-KV 1 hop, XRP": 10.7,
    "BPF-KV 6 hops, XRP": 29.3,
    "BPF-KV 1 hop, SPDK": 5.2,
    "BPF-KV 6 hops, SPDK": 20.2,
}


def predictions(profile: Profile) -> list[Prediction]:
    """Return the latencies, us, from the profile `xrp`'s layers alone."""
    figures = {**profile.parts, **profile.composites}
    us = {name: figure.value / 1e6 for name, figure in figures.items()}
    read, crossing, bottom = us["read"], us["crossing"], us["driver"] + us["device"]
    reads = DEPTH + 1
    found = [
        ("B-tree depth 10, user", reads * read, "(d + 1) reads"),
        ("B-tree depth 10, syscall hook", crossing + reads * (read - crossing), "one crossing, (d + 1) reads without"),
        ("B-tree depth 10, driver hook", read + DEPTH * bottom, "one read, d times driver and device"),
    ]
    isolated = read + us["kpti"]
    for hops in HOPS:
        name = f"BPF-KV {hops} hop{'s' if hops > 1 else ''}"
        found += [
            (f"{name}, read()", (hops + 1) * isolated, "(hops + 1) reads with KPTI"),
            (f"{name}, XRP", isolated + hops * bottom, "one read with KPTI, hops times driver and device"),
            (f"{name}, SPDK", (hops + 1) * us["device"], "(hops + 1) times the device"),
        ]
    return [within(name, value, TOLERANCE, "us", why) for name, value, why in found]
