"""From hot functions to one module of LLVM's IR: numba's front end, without its back end.

A hot function calls another through a `_Function`, which numba asks for the type of the call; that is when the callee
is translated, once for each tuple of argument types. All go into one library, whose text is the result.

Importing this module imports numba.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType, ModuleType
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import typed_passes, untyped_passes
from numba.core.compiler import CompilerBase, Flags, compile_extra
from numba.core.compiler_machinery import PassManager
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, signature

from jit import compiled
from jit.hot import functions_of, imports_of, mark_of
from jit.rows import BlockType

_WORD = ir.IntType(64)
_FAILED = -1


def program(module: ModuleType, name: str, sample: Any, entries: Mapping[str, int]) -> list[str]:
    """Return modules of IR that together are the program; see `jit.whole.compiled`.

    An entry point becomes `i64 name(ptr block, i64 ..., ptr results)`: it stores its results and returns their number.
    """
    translation = _Translation(name)
    functions = translation.functions(module)
    block = BlockType(name, sample)
    for entry, arguments in entries.items():
        translation.entry(entry, functions[entry], (block, *[types.int64] * arguments))
    return translation.texts()


class _FrontEnd(CompilerBase):  # type: ignore[misc]
    """The passes of numba that hot code needs: half the time of all that it has."""

    PASSES = (
        untyped_passes.TranslateByteCode, untyped_passes.FixupArgs, untyped_passes.IRProcessing,
        untyped_passes.GenericRewrites, untyped_passes.ReconstructSSA,
        typed_passes.NopythonTypeInference, typed_passes.PreLowerStripPhis, typed_passes.IRLegalization,
        typed_passes.NativeLowering, typed_passes.NoPythonBackend,
    )  # fmt: skip

    def define_pipelines(self) -> list[PassManager]:
        manager = PassManager("hot")
        for one in self.PASSES:
            manager.add_pass(one, one.__name__)
        manager.finalize()
        return [manager]


class _Translation:
    """The functions of one program."""

    def __init__(self, name: str) -> None:
        self.typing, self.target = cpu_target.typing_context, cpu_target.target_context
        self.typing.refresh()
        self.target.refresh()
        self.library = self.target.codegen().create_library(name)
        self._forms = compiled.primitives(lambda function: _Function(self, function, inlined=True))
        self._built: dict[str, dict[str, Any]] = {}

    def functions(self, module: ModuleType) -> dict[str, Any]:
        """Return the functions of a hot module, those that it imports having been made."""
        for imported in imports_of(module):
            if imported.__name__ not in self._built:
                self._built[imported.__name__] = self.functions(imported)
        namespace = compiled.namespace_of(module, self._built, self._forms)
        made = {
            name: _Function(self, compiled.rebuilt(function, namespace), inlined=mark_of(function) == "inlined")
            for name, function in functions_of(module).items()
        }
        namespace.update(made)
        return made

    def entry(self, name: str, function: _Function, arguments: tuple[Any, ...]) -> None:
        """Add an entry point."""
        done = function.translated(arguments)
        module = self.library.create_ir_module(name)
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(_WORD, [pointer, *[_WORD] * (len(arguments) - 1), pointer])
        wrapper = ir.Function(module, kind, name)
        builder = ir.IRBuilder(wrapper.append_basic_block())
        callee = self.target.declare_function(module, done.fndesc)
        status, value = self.target.call_conv.call_function(
            builder, callee, done.fndesc.restype, done.fndesc.argtypes, wrapper.args[:-1]
        )
        with builder.if_then(status.is_error, likely=False):
            builder.ret(ir.Constant(_WORD, _FAILED))
        values = _values(builder, done.fndesc.restype, value)
        results = builder.bitcast(wrapper.args[-1], _WORD.as_pointer())
        for number, one in enumerate(values):
            builder.store(one, builder.gep(results, [ir.Constant(_WORD, number)]))
        builder.ret(ir.Constant(_WORD, len(values)))
        self.library.add_ir_module(module)

    def texts(self) -> list[str]:
        """Return the IR of the library and of all that numba itself has added to it."""
        found = [self.library]
        for library in found:
            found += [other for other in library._linking_libraries if other not in found]
        return [library.get_llvm_str() for library in found]


def _values(builder: Any, kind: Any, value: Any) -> list[Any]:
    if kind == types.none:
        return []
    if isinstance(kind, types.BaseTuple):
        return [builder.extract_value(value, number) for number in range(len(kind))]
    return [value]


class _Function:
    """A hot function as other hot functions know it."""

    def __init__(self, translation: _Translation, function: FunctionType, *, inlined: bool) -> None:
        self._translation, self._function = translation, function
        self._done: dict[tuple[Any, ...], Any] = {}
        self._flags = Flags()
        self._flags.no_compile = self._flags.no_cpython_wrapper = self._flags.no_cfunc_wrapper = True
        self._flags.error_model = "numpy"
        self._flags.forceinline = inlined
        translation.typing.insert_user_function(self, _template(self))
        translation.target.insert_func_defn([(self._call, self, (types.VarArg(types.Any),))])

    def translated(self, arguments: tuple[Any, ...]) -> Any:
        """Return what numba made of it for these types of arguments."""
        if arguments not in self._done:
            at = self._translation
            self._done[arguments] = compile_extra(
                at.typing, at.target, self._function, arguments, None, self._flags, {}, at.library, _FrontEnd
            )
        return self._done[arguments]

    def _call(self, context: Any, builder: Any, kind: Any, values: Any) -> Any:
        return context.call_internal(builder, self._done[kind.args].fndesc, kind, values)


def _template(function: _Function) -> type[AbstractTemplate]:
    class Template(AbstractTemplate):  # type: ignore[misc]
        key = function

        def generic(self, args: Any, keywords: Any) -> Any:
            return signature(function.translated(args).signature.return_type, *args)

    return Template
