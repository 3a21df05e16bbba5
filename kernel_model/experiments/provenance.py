"""Which code made a result: a digest of everything of this package that a result depends on.

The version of a package does not change while it is worked on, its sources do. So what is kept under a key (a line of a
sweep's journal) is kept under the digest of the sources, and results of different code never mix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from kernel_model.workloads.samples import sample_path

PACKAGES = ("grafting", "jit", "kernel_model", "verifier")
ROOT = Path(__file__).resolve().parents[2]


@cache
def code_digest() -> str:
    """Return the SHA-256 of the sources of all packages and of the samples; names and contents, in order of names."""
    digest = hashlib.sha256()
    for name, path in sorted(_sources()):
        data = path.read_bytes()
        digest.update(f"{name} {len(data)}\n".encode() + data)
    return digest.hexdigest()


def _sources() -> Iterator[tuple[str, Path]]:
    samples = sample_path("btree_lookup.graft").parent
    for root, pattern in [*((ROOT / package, "*.py") for package in PACKAGES), (samples, "*.graft")]:
        for path in root.rglob(pattern):
            yield path.relative_to(root.parent).as_posix(), path
