"""Cost profiles: what each primitive costs on one machine, how we know, and how far a result rests on it."""

from __future__ import annotations

from kernel_model.costs.library import DEFAULT_PROFILES, available, load, own, own_directory, parse
from kernel_model.costs.profile import Certainty, Conditions, Ends, Equation, Figure, Profile
from kernel_model.costs.sizes import Cache

__all__ = [
    "DEFAULT_PROFILES", "Cache", "Certainty", "Conditions", "Ends", "Equation", "Figure", "Profile",
    "available", "load", "own", "own_directory", "parse",
]  # fmt: skip
