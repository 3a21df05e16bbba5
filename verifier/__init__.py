"""The verifier: proves a program safe and bounds its cost, or says why it cannot.

    verified = verifier.verify(program)                  # or raises verifier.Rejected, with .diagnostics
    verified.handlers["reply/disk.read"].bounds          # the proven worst case, a grafting.costs.CostVector

It works on bytecode and knows nothing of the language. The way through the files: `scalar` (numbers) and `terms` (their
names) make `values`; registers, `stack` and body make a `state`; `obligations` says what an instruction needs, `check`
decides it, `transfer` moves on; `explore` walks, `lattice` merges, `loops` and `ranking` summarise loops, `cost`
counts, `report` explains, `verify` judges.
"""

from __future__ import annotations

from verifier.report import Rejected
from verifier.verify import HandlerProof, Verified, verify

__all__ = ["HandlerProof", "Rejected", "Verified", "verify"]
