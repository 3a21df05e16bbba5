"""Grafting: a small safe language, compiled through LLVM into standard eBPF objects.

    source text --parse--> syntax --check--> typed --lower--> LLVM IR --LLVM--> BPF object --load--> Program

`compile_graft` goes the whole way. What it returns is a `Program`: untrusted bytecode with declarations, which
`verifier.verify` turns into a `Verified` or rejects with reasons.
"""

from __future__ import annotations

from grafting.diagnostics import Diagnostic, GraftError, InternalError, Severity, Source, Span
from grafting.program import Handler, MapKind, MapSpec, Program

__all__ = [
    "Diagnostic",
    "GraftError",
    "Handler",
    "InternalError",
    "MapKind",
    "MapSpec",
    "Program",
    "Severity",
    "Source",
    "Span",
    "compile_graft",
]


def compile_graft(source: str, *, filename: str = "<string>", target: str = "model") -> Program:
    """Compile the text of one graft; raises GraftError with every independent error found.

    `target` is "model", the ABI of `grafting.hooks`. llvmlite is imported only here.
    """
    from grafting import compiler

    return compiler.compile_source(Source(filename, source), target=target)
