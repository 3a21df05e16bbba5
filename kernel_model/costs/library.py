"""Where profiles are found: the user's own, then those of the package, then any file.

`graft calibrate` writes what it measured to `$XDG_CONFIG_HOME/grafting/profiles` (else `~/.config/grafting/profiles`,
XDG Base Directory Specification). A profile there is found by its name, before one of the same name that comes with the
package: who has calibrated means this machine by `linux-host`. Every result prints the digest of the figures that it
rests on, so the two cannot be confused.
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from grafting.diagnostics import fail
from kernel_model.costs import reading
from kernel_model.costs.inheritance import names_in
from kernel_model.costs.profile import Profile

DEFAULT_PROFILES = ("sel4-skylake", "linux-host")


def available() -> tuple[str, ...]:
    """Return the names of the profiles that come with the package, in alphabetical order."""
    return names_in("profiles")


def own() -> tuple[str, ...]:
    """Return the names of the user's own profiles, in alphabetical order."""
    directory = own_directory()
    return tuple(sorted(file.stem for file in directory.glob("*.toml"))) if directory.is_dir() else ()


def own_directory() -> Path:
    """Return where the user's own profiles are, whether or not the directory exists."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):  # relative paths are invalid by the specification
        base = os.path.join(os.path.expanduser("~"), ".config")
    return Path(base, "grafting", "profiles")


def load(name: str | Path) -> Profile:
    """Return the profile of this name, the user's own or the package's, or that of a TOML file.

    A name with a `.toml` ending or a directory in it is a file. Raises GraftError: G0830 no such profile, G0831 not
    TOML or a key that has no meaning, G0832 a figure that is not well given, G0833 a primitive without a price, G0834
    an equation that cannot be solved, G0835 a composite that the primitives do not add up to, G0836 a figure of
    another processor, G0837 no such base, G0838 a multiple of nothing. Raises OSError if a file cannot be read.
    """
    path = Path(name)
    if path.suffix == ".toml" or len(path.parts) > 1:
        return parse(path.read_text(encoding="utf-8"), filename=str(path))
    if str(name) in own():
        return load(own_directory() / f"{name}.toml")
    return packaged(str(name))


def parse(text: str, *, filename: str = "<profile>") -> Profile:
    """Return the profile written in `text`. Raises GraftError as `load` does."""
    return reading.parse(text, packaged, filename=filename)


def packaged(name: str) -> Profile:
    """Return the profile of this name that comes with the package. Raises GraftError G0830."""
    if name not in available():
        known = ", ".join(sorted({*available(), *own()}))
        raise fail("G0830", f"no cost profile is called `{name}`", helps=(f"there are {known}",))
    file = resources.files(__package__).joinpath("profiles", f"{name}.toml")
    return parse(file.read_text(encoding="utf-8"), filename=f"{name}.toml")
