"""For whom code is made: the section names, context layout and helper numbers that lowering encodes by.

A target is a value. `MODEL` is the ABI of `grafting.hooks`; what another kernel needs is another `Target`, not another
`if` in the compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from grafting import hooks
from grafting.diagnostics import fail


@dataclass(frozen=True, slots=True)
class Target:
    """An ABI to compile for.

    `section` goes before a handler's name to name its section; `fields` finds a context field by name; `helpers` gives
    the number that a `call` to the named kernel function carries.
    """

    name: str
    section: str
    fields: Mapping[str, hooks.Field]
    helpers: Mapping[str, int]


MODEL = Target(
    name="model",
    section="graft/",
    fields={field.name: field for field in hooks.GRAFT_CONTEXT},
    helpers={helper.name: number for number, helper in hooks.HELPERS.items()},
)

TARGETS: Mapping[str, Target] = {target.name: target for target in (MODEL,)}


def find(name: str) -> Target:
    """Return the target called `name`; raises GraftError G0401 if there is none."""
    target = TARGETS.get(name)
    if target is None:
        known = ", ".join(f"`{known}`" for known in TARGETS)
        raise fail("G0401", f"there is no target `{name}`", helps=(f"known targets: {known}",))
    return target
