"""Cost profiles: what each primitive costs on one machine, how we know, and how far a result rests on it."""

from __future__ import annotations

from kernel_model.costs.profile import (
    DEFAULT_PROFILES,
    Certainty,
    Ends,
    Equation,
    Figure,
    Profile,
    available,
    load,
    parse,
)

__all__ = ["DEFAULT_PROFILES", "Certainty", "Ends", "Equation", "Figure", "Profile", "available", "load", "parse"]
