"""LLVM for this machine: IR text in, a relocatable object out, and objects into memory.

Objects are made for the host's CPU, by LLVM's O2 pipeline with both vectorisers, or by a short list of passes where
there is nothing to vectorise. Where memory may be touched and what is undefined was settled before (`lowering`). They
are loaded by LLJIT, which maps code readable and executable and never writable at the same time. One LLJIT holds
`limits.NATIVE_LIBRARIES` libraries: the time to add one grows with their number.
"""

from __future__ import annotations

import functools
import itertools
import sys
from typing import Any, Final

from grafting import limits
from grafting.diagnostics import InternalError

_OPT: Final = 2
_QUICK: Final = (
    "always_inliner", "global_dead_code_eliminate", "sroa", "instruction_combine", "simplify_cfg", "new_gvn",
    "dead_store_elimination", "simplify_cfg", "aggressive_dce",
)  # fmt: skip
"""What is done for short code without loops: a fifth of O2's time, for code of the same size."""


@functools.cache
def _machine() -> Any:
    import llvmlite.binding as llvm

    if sys.byteorder != "little":
        raise InternalError("native code needs a little-endian machine")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = host()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=cpu, features=features, opt=_OPT, jit=True)


@functools.cache
def host() -> tuple[str, str]:
    """Return name and features of the CPU, as LLVM spells them."""
    import llvmlite.binding as llvm

    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


@functools.cache
def version() -> str:
    """Return the versions of LLVM and its binding."""
    import llvmlite
    import llvmlite.binding as llvm

    return f"{llvmlite.__version__} {'.'.join(map(str, llvm.llvm_version_info))}"


def _optimised(text: str, *, thorough: bool) -> Any:
    """Return a module in IR text, optimised. Its context is its own: a context keeps all constants for good."""
    import llvmlite.binding as llvm

    machine = _machine()
    try:
        module = llvm.parse_assembly(text, llvm.create_context())
        module.verify()
    except RuntimeError as error:
        raise InternalError(f"LLVM does not take our code: {error}") from error
    options = llvm.create_pipeline_tuning_options(speed_level=_OPT)
    options.loop_vectorization = options.slp_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    if thorough:
        passes = builder.getModulePassManager()
    else:
        passes = llvm.create_new_module_pass_manager()
        for name in _QUICK:
            getattr(passes, f"add_{name}_pass")()
    passes.run(module, builder)
    return module


def emit_object(text: str, *, thorough: bool = True) -> bytes:
    """Return the object that a module in IR text becomes. `thorough`: by all of O2, not by the passes of `_QUICK`."""
    return bytes(_machine().emit_object(_optimised(text, thorough=thorough)))


def emit_program(texts: list[str], exported: tuple[str, ...], rare: tuple[str, ...] = ()) -> bytes:
    """Return the object that several modules in IR text become together; only `exported` can be called from outside.

    Functions whose names begin with one of `rare` stay out of their callers, and out of the way of what is hot.
    """
    import llvmlite.binding as llvm

    context = llvm.create_context()
    module = llvm.parse_assembly(texts[0], context)
    for text in texts[1:]:
        other = llvm.parse_assembly(text, context)
        for symbol in other.functions:
            if not symbol.is_declaration:
                symbol.linkage = llvm.Linkage.linkonce_odr
        module.link_in(other)
    for symbol in (*module.functions, *module.global_variables):
        if not symbol.is_declaration and symbol.name not in exported:
            symbol.linkage = llvm.Linkage.internal
    for function in module.functions:
        if not function.is_declaration and function.name.startswith(rare):
            for attribute in ("cold", "noinline"):
                function.add_function_attribute(attribute)
    options = llvm.create_pipeline_tuning_options(speed_level=_OPT)
    builder = llvm.create_pass_builder(_machine(), options)
    builder.getModulePassManager().run(module, builder)
    return bytes(_machine().emit_object(module))


def emit_assembly(text: str, *, thorough: bool = True) -> str:
    """Return the same as assembly text."""
    return str(_machine().emit_assembly(_optimised(text, thorough=thorough)))


class Library:
    """Code in memory, until the last reference goes. `addresses`: of its exported functions."""

    def __init__(self, tracker: Any, jit: Any, names: tuple[str, ...]) -> None:
        self._tracker, self._jit = tracker, jit  # both keep the code alive
        self.addresses = {name: int(tracker[name]) for name in names}


_numbers = itertools.count()
_current: list[Any] = []


def load(data: bytes, names: tuple[str, ...]) -> Library:
    """Map an object and return its functions. Raises InternalError if it cannot be linked."""
    import llvmlite.binding as llvm

    number = next(_numbers)
    if number % limits.NATIVE_LIBRARIES == 0:
        _machine()
        _current[:] = [llvm.create_lljit_compiler(_machine())]
    builder = llvm.JITLibraryBuilder().add_object_img(data).add_current_process()
    for name in names:
        builder.export_symbol(name)
    try:
        return Library(builder.link(_current[0], f"graft{number}"), _current[0], names)
    except RuntimeError as error:
        raise InternalError(f"native code cannot be loaded: {error}") from error
