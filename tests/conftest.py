"""Tests that compile with numba run in one process, so that the code is compiled once (`pytest --dist loadgroup`).

No test sees the user's own cost profiles.
"""

from __future__ import annotations

import os

import pytest

os.environ["XDG_CONFIG_HOME"] = os.path.join(os.path.dirname(__file__), "no-such-directory")

COMPILING = (
    "numba",
    "test_tiers",
    "test_kernel_tiers",
    "test_conformance",
    "test_maps",
    "test_accounts",
    "test_adversaries",
    "graft compare",
    "graft paging",
    "G0809",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put them into one group."""
    for item in items:
        if any(word in item.nodeid for word in COMPILING):
            item.add_marker(pytest.mark.xdist_group("numba"))
