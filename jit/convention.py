"""How compiled hot functions call each other: results in registers, and nothing is raised.

numba's own functions return a status; their result, and what they raise, they store where the caller says. Each call so
costs the caller two slots on its stack, a store to clear one and a load from it, and a test of the status, and the
slots keep LLVM from seeing what was returned. Hot code raises nothing (`jit.whole`), so here a function of the source
is one of LLVM's, with the same arguments and the same result.

What numba itself has compiled (`max`, `int`, ...) is called in its own way; LLVM merges it into its callers. Where
numba writes code to raise something (a range of step 0) there is a trap, which ends the process: what the tables hold
is not to be trusted then. LLVM finds that these places are not reached, and drops them.

Importing this module imports numba.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core.callconv import RETCODE_OK, CPUCallConv, excinfo_ptr_t
from numba.core.cgutils import get_or_insert_function

_NUMBA = "numba."


class InRegisters(CPUCallConv):  # type: ignore[misc]
    """The convention of one program."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._foreign: set[str] = set()  # names of functions of numba's

    def declare(self, module: Any, fndesc: Any) -> Any:
        """Return a function of numba's own, declared, or None if `fndesc` is one of the program's."""
        if not fndesc.modname.startswith(_NUMBA):
            return None
        self._foreign.add(fndesc.mangled_name)
        kind = super().get_function_type(fndesc.restype, fndesc.argtypes)
        return get_or_insert_function(module, kind, fndesc.mangled_name)

    def get_function_type(self, restype: Any, argtypes: Any) -> Any:
        """Return LLVM's type of a function of the program."""
        packer = self._get_arg_packer(argtypes)
        return ir.FunctionType(self.get_return_type(restype).pointee, list(packer.argument_types))

    def decorate_function(self, fn: Any, args: Any, fe_argtypes: Any, noalias: bool = False) -> None:
        """Name the arguments."""
        self._get_arg_packer(fe_argtypes).assign_names(self.get_arguments(fn), [f"arg.{name}" for name in args])

    def get_arguments(self, func: Any) -> Any:
        """Return the arguments that the source has."""
        return super().get_arguments(func) if func.name in self._foreign else func.args

    def return_value(self, builder: Any, retval: Any) -> None:
        """Return from the function under way."""
        if builder.function.name in self._foreign:
            super().return_value(builder, retval)
        else:
            builder.ret(retval)

    def return_user_exc(self, builder: Any, *exception: Any, **named: Any) -> None:
        """Stop where numba would raise."""
        _trap(builder)

    def return_status_propagate(self, builder: Any, status: Any) -> None:
        """Stop where numba would raise what a callee has raised."""
        _trap(builder)

    def call_function(self, builder: Any, callee: Any, resty: Any, argtys: Any, args: Any, attrs: Any = None) -> Any:
        """Call a function; return its status, which is always good, and its result."""
        if callee.name in self._foreign:
            return super().call_function(builder, callee, resty, argtys, args, attrs)
        values = self._get_arg_packer(argtys).as_arguments(builder, args)
        result = builder.call(callee, list(values))
        status = self._get_return_status(builder, RETCODE_OK, ir.Constant(excinfo_ptr_t, None))
        return status, self.context.get_returned_value(builder, resty, result)


def _trap(builder: Any) -> None:
    trap = builder.module.declare_intrinsic("llvm.trap", (), ir.FunctionType(ir.VoidType(), []))
    builder.call(trap, [])
    builder.unreachable()
