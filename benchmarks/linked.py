"""Random chains of linked requests through real io_uring and through the model: how many, and what differs.

    python benchmarks/linked.py [batches] [first seed]

Each batch is one submission of up to 24 chains (`kernel_model.linux.linked_chains`). Nothing is timed.
"""

from __future__ import annotations

import platform
import sys

from kernel_model.linux import io_uring, linked_chains


def main(batches: int = 1000, first: int = 0) -> int:
    """Run the batches; return how many differ."""
    reason = io_uring.unavailable()
    if reason:
        print(f"not run: {reason}")
        return 0
    linux = linked_chains.Linux()
    entries = chains = differing = 0
    for seed in range(first, first + batches):
        batch = linked_chains.draw(seed)
        entries += len(batch)
        chains += len(linked_chains.chains(batch))
        lines = linked_chains.check(linux, seed)
        differing += bool(lines)
        for line in lines:
            print(f"seed {seed}: {line}")
    linux.close()
    print(f"Linux {platform.release()}: {batches:,} submissions, {chains:,} chains, {entries:,} entries; "
          f"{differing:,} submissions differ")  # fmt: skip
    return differing


if __name__ == "__main__":
    sys.exit(min(main(*map(int, sys.argv[1:])), 1))
