"""What is made once for several tests is made in one process (`pytest --dist loadgroup`).

Tests that compile with numba are one group; those of a file that share a fixture of its module are one each.

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


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put each test that has one into its group."""
    for item in items:
        if any(word in item.nodeid for word in COMPILING):
            item.add_marker(pytest.mark.xdist_group("numba"))
        elif isinstance(item, pytest.Function) and _shares_with_its_module(item):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def _shares_with_its_module(item: pytest.Function) -> bool:
    fixtures = item._fixtureinfo.name2fixturedefs
    return any(found[-1].scope == "module" for found in fixtures.values())
