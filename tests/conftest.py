"""What is made once for several tests is made in one process (`pytest -n`).

Tests that compile with numba run in one process, those of a file that share what its fixtures run in another or the
same; all others wherever there is time. xdist's own groups (`--dist loadgroup`) are not seen under pytest 9.2, so the
groups are found by name here. No test sees the user's own cost profiles.
"""

from __future__ import annotations

import gc
import os
from pathlib import PurePath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

os.environ["XDG_CONFIG_HOME"] = os.path.join(os.path.dirname(__file__), "no-such-directory")

COMPILING = (
    "numba",
    "test_tiers",
    "test_kernel_tiers",
    "test_foretelling",
    "test_conformance",
    "test_maps",
    "test_accounts",
    "test_adversaries",
    "graft compare",
    "graft paging",
    "test_a_command_of_the_documents_succeeds",  # `graft bench` compiles its loop
    "G0809",
)
SHARING = ("test_compare", "test_figures", "test_mechanisms", "test_perfetto", "test_replicate")


def group_of(test: str) -> str:
    """Return the name of a test's group: its own if it is alone."""
    file = test.partition("::")[0]
    if any(word in test for word in COMPILING):
        return "numba"
    return file if PurePath(file).stem in SHARING else test


class Groups(LoadScopeScheduling):
    """Gives a group to one process; the largest groups first."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Groups:
    """Have xdist use them."""
    return Groups(config, log)


def pytest_collection_finish() -> None:
    """What has been imported and collected by now stays: the garbage collector need not walk it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
