"""LLVM as a service: IR text in, eBPF object out.

**Passes.** `sroa, simplify_cfg, sccp, simplify_cfg, dead_code_elimination` and no others. The bytecode has to be
verified, so what counts beside its size is that every check still stands beside the access that it guards. Loop
passes rewrite `i < n` into `i != n` and indices into byte offsets; instruction combining folds two comparisons into
one on a new value. On a search in a B-tree node a short list gives 29 instructions and 15,341 steps of Linux's
verifier, O2 gives 35 and 254,771. `new_gvn` would save one instruction in three hundred, and does not end on some
loops of one line.

**Death.** LLVM's BPF back end reports what it cannot do by ending the process with status 1: no exception, no
`finally`; and a failed assertion, anywhere in LLVM, aborts it. What triggers the former is kept out by construction,
each item where it would arise:

    a frame over 512 bytes              `-bpf-stack-size` here, so that our verifier reports it with a source line
    over 5 arguments, aggregate results every function is `i64 (ptr)`, helpers have at most 5 operands (hooks)
    signed division before cpu v4       the target machine is v4
    i128, `with.overflow`               lowering has i64 and narrower only
    `unreachable`, varargs, exceptions  never emitted; functions are `nounwind`
    long or dynamic memset and memcpy   explicit stores to 128 bytes, helpers beyond; no loop-idiom pass
    "processed the same Value a lot"    an assertion of `new_gvn`, on valid code: it is not among the passes

The frame has a bound, too: arrays and scratch memory have at most `lower.MEMORY_BYTES`, and a value that is kept costs
six of the 16,384 instructions to which the checker holds a handler, three to make and three to use, so that spills need
less than 22 KiB. A long-lived process that compiles strangers' programs uses `grafting.lowering.llvm_worker`
nevertheless.
"""

from __future__ import annotations

import functools
from typing import Any

from grafting.diagnostics import InternalError

_TRIPLE, _CPU = "bpfel", "v4"
_OPTIONS = (
    "-bpf-stack-size=32767",  # the reach of a 16-bit offset; the real limit is the verifier's to report
    "-enable-tail-merge=false",  # calls that differ in their line only stay apart, with their lines
)


@functools.cache
def _machine() -> Any:
    """Initialise LLVM, once a process, and return the BPF target machine."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    for option in _OPTIONS:
        llvm.set_option("", option)
    return llvm.Target.from_triple(_TRIPLE).create_target_machine(cpu=_CPU, opt=2)


def _optimised(text: str) -> Any:
    """Parse, verify and optimise a module; raises InternalError where LLVM refuses it."""
    import llvmlite.binding as llvm

    machine = _machine()
    try:
        module = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        raise InternalError(f"LLVM refuses the generated code: {error}") from error
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_sccp_pass()
    passes.add_simplify_cfg_pass()
    passes.add_dead_code_elimination_pass()
    passes.run(module, builder)
    return module


def optimised_text(text: str) -> str:
    """Return the module after the passes, as text. Raises InternalError."""
    return str(_optimised(text))


def emit_object(text: str) -> bytes:
    """Compile a module into a relocatable BPF object, DWARF included. Raises InternalError.

    Must not be given IR that others wrote: see "Death" above.
    """
    return bytes(_machine().emit_object(_optimised(text)))
