"""Draw the demo: a graft compiled, verified, attached, and compared with the round trip on real B-trees.

    python samples/demo.py [DIRECTORY]      (default: build)

Runs the commands that a user would type, showing each, and leaves `compare.svg` and the object in the directory.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import cli

GRAFT = Path(__file__).parent / "btree_lookup.graft"


def main(arguments: list[str]) -> None:
    directory = Path(arguments[0] if arguments else "build")
    directory.mkdir(parents=True, exist_ok=True)
    for command in (
        ("build", str(GRAFT), "-o", str(directory / "btree_lookup.o")),
        ("verify", str(directory / "btree_lookup.o")),
        ("test", str(GRAFT)),
        ("compare", str(GRAFT), "--workload", "btree", "--depth", "1..8", "--plot", str(directory / "compare.svg")),
    ):
        print(f"\n$ graft {shlex.join(command)}", flush=True)
        cli.main(args=command, prog_name="graft", standalone_mode=False)
    print(f"\nThe picture is in {directory / 'compare.svg'}.")


if __name__ == "__main__":
    main(sys.argv[1:])
