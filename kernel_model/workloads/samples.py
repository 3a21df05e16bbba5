"""Where the grafts of `samples/` are: beside the packages in a source tree, inside `kernel_model` when installed."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def sample_path(name: str) -> Path:
    """Return the path of a sample by its file name."""
    installed = PACKAGE / "samples" / name
    return installed if installed.exists() else PACKAGE.parent / "samples" / name
