"""Build B-tree images from the character names of `unicodedata`: one file a depth.

    python samples/btree/build.py [DIRECTORY] [DEPTH ...]      (default: build/btree, depths 1 to 8)

The layout, the keys and the choice of the fan-out are described in `kernel_model/workloads/btree.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kernel_model.workloads import btree


def main(arguments: list[str]) -> None:
    directory = Path(arguments[0] if arguments else "build/btree")
    depths = [int(depth) for depth in arguments[1:]] or range(1, 9)
    print("depth  fan-out     keys   blocks  nodes per level")
    for depth in depths:
        shape = btree.write_image(directory, depth).shape
        print(f"{shape.depth:5}  {shape.fan_out:7}  {shape.keys:7,}  {shape.blocks:7,}  {shape.levels}")
    print(f"written to {directory}/depth-N.btree, {btree.BLOCK_BYTES} bytes a block")


if __name__ == "__main__":
    main(sys.argv[1:])
