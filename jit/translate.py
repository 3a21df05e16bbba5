"""From hot functions to one module of LLVM's IR: numba's front end, without its back end.

A hot function calls another through a `_Function`, which numba asks for the type of the call; that is when the callee
is translated, once for each tuple of argument types. All go into one module, whose text is the result.

numba's front end is most of the time that compiling takes, so what it does again and again is done once: the passes
run without the bookkeeping between them (`_FrontEnd`), a call's type and its code are looked up once (`_Types`,
`_Code`), and the module is printed once. Importing this module imports numba.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import typed_passes, untyped_passes
from numba.core.cgutils import normalize_ir_text
from numba.core.compiler import CompilerBase, Flags
from numba.core.cpu import CPUContext
from numba.core.errors import NumbaError
from numba.core.registry import cpu_target
from numba.core.targetconfig import ConfigStack
from numba.core.typing.context import Context
from numba.core.typing.templates import AbstractTemplate, signature

from grafting.diagnostics import InternalError
from jit import compiled
from jit.convention import InRegisters
from jit.hot import functions_of, imports_of, mark_of
from jit.rows import BlockType

_WORD = ir.IntType(64)


def program(module: ModuleType, name: str, sample: Any, entries: Mapping[str, int]) -> list[str]:
    """Return modules of IR that together are the program; see `jit.whole.compiled`.

    An entry point becomes `i64 name(ptr block, i64 ..., ptr results)`: it stores its results and returns their number.
    """
    with _uncollected():
        translation = _Translation(name)
        functions = translation.functions(module)
        block = BlockType(name, sample)
        for entry, arguments in entries.items():
            translation.entry(entry, functions[entry], (block, *[types.int64] * arguments))
        return translation.texts()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep Python from searching millions of objects for garbage again and again: nearly all of them are in use."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


class _FrontEnd(CompilerBase):  # type: ignore[misc]
    """The passes of numba that hot code needs, one after the other.

    A variable is taken to have one type; where it has several (a signed and an unsigned word meet in a float, rows of
    two tables in nothing), its function begins anew in static single assignment form, a variable for each value. Where
    a float is left, a signed word met an unsigned one in an expression: that is refused, since above 2**53 it is wrong.
    """

    def _compile_core(self) -> Any:
        begin = (untyped_passes.TranslateByteCode, untyped_passes.GenericRewrites)
        state = self.state
        with ConfigStack().enter(state.flags):
            self._run(*begin)
            if not self._has_types():
                self._run(*begin, untyped_passes.ReconstructSSA)
                self._run(typed_passes.NopythonTypeInference, typed_passes.PreLowerStripPhis)
            if floats := _floats(state):
                raise InternalError(f"`{state.func_id.func_qualname}`: {', '.join(floats)} became floats")
            self._run(typed_passes.NativeLowering, typed_passes.NoPythonBackend)
        return state.cr

    def _has_types(self) -> bool:
        """Find the types; whether each variable has one, and one that hot code computes with."""
        try:
            self._run(typed_passes.NopythonTypeInference)
        except NumbaError:
            return False
        return not _floats(self.state)

    def _run(self, *passes: Any) -> None:
        for one in passes:
            one().run_pass(self.state)


def _floats(state: Any) -> list[str]:
    return [name for name, kind in state.typemap.items() if isinstance(kind, types.Float)]


class _Flags(Flags):  # type: ignore[misc]
    """Flags that nobody changes, known by their identity: numba copies, hashes and compares them all the time."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def copy(self) -> _Flags:
        return self

    def get_mangle_string(self) -> str:
        return ""


class _Types(Context):  # type: ignore[misc]
    """numba's own knowledge of types, each question asked once: numba tries its templates anew at each call."""

    def __init__(self) -> None:
        self.__dict__.update(vars(cpu_target.typing_context))
        self._calls: dict[Any, Any] = {}

    def resolve_function_type(self, function: Any, arguments: Any, keywords: Any) -> Any:
        if keywords:
            return super().resolve_function_type(function, arguments, keywords)
        key = (function, tuple(arguments))
        found = self._calls.get(key)
        if found is None:
            found = self._calls[key] = super().resolve_function_type(function, arguments, keywords)
        return found


class _Code(CPUContext):  # type: ignore[misc]
    """numba's own knowledge of how operations are written in LLVM's IR, each question asked once."""

    def __init__(self, typing: _Types) -> None:
        self.__dict__.update(vars(cpu_target.target_context), typing_context=typing)
        self._written: dict[Any, Any] = {}
        self._convention = InRegisters(self)

    @property
    def call_conv(self) -> InRegisters:
        return self._convention

    def declare_function(self, module: Any, fndesc: Any) -> Any:
        return self._convention.declare(module, fndesc) or super().declare_function(module, fndesc)

    def get_function(self, function: Any, signature: Any, _firstcall: bool = True) -> Any:
        key = (function, signature)
        found = self._written.get(key)
        if found is None:
            found = self._written[key] = super().get_function(function, signature, _firstcall)
        return found

    def post_lowering(self, module: Any, library: Any) -> None:
        pass


class _Library:
    """One module for all functions; what numba has compiled besides is linked to it."""

    def __init__(self, codegen: Any, name: str) -> None:
        self.codegen = codegen
        self.name = name
        self.module = codegen._create_empty_module(name)
        self.linked: dict[Any, None] = {}
        self.recorded_timings = None
        self._reload_init: set[Any] = set()

    def create_ir_module(self, name: str) -> Any:
        return self.module

    def add_ir_module(self, module: Any) -> None:
        assert module is self.module

    def add_linking_library(self, library: Any) -> None:
        self.linked[library] = None


class _Translation:
    """The functions of one program."""

    def __init__(self, name: str) -> None:
        cpu_target.target_context.refresh()
        self.typing = _Types()
        self.target = _Code(self.typing)
        self.library = _Library(self.target.codegen(), name)
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
        module = self.library.module
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(_WORD, [pointer, *[_WORD] * (len(arguments) - 1), pointer])
        wrapper = ir.Function(module, kind, name)
        builder = ir.IRBuilder(wrapper.append_basic_block())
        callee = self.target.declare_function(module, done.fndesc)
        _, value = self.target.call_conv.call_function(
            builder, callee, done.fndesc.restype, done.fndesc.argtypes, wrapper.args[:-1]
        )
        values = _values(builder, done.fndesc.restype, value)
        results = builder.bitcast(wrapper.args[-1], _WORD.as_pointer())
        for number, one in enumerate(values):
            builder.store(one, builder.gep(results, [ir.Constant(_WORD, number)]))
        builder.ret(ir.Constant(_WORD, len(values)))

    def texts(self) -> list[str]:
        """Return the IR of the library and of all that numba itself has added to it."""
        texts = [normalize_ir_text(str(self.library.module))]
        found = list(self.library.linked)
        for library in found:
            found += [other for other in dict.fromkeys(library._linking_libraries) if other not in found]
        return texts + [library.get_llvm_str() for library in found]


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
        self._flags = _Flags()
        self._flags.no_compile = self._flags.no_cpython_wrapper = self._flags.no_cfunc_wrapper = True
        self._flags.error_model = "numpy"
        self._flags.forceinline = inlined
        translation.typing.insert_user_function(self, _template(self))
        translation.target.insert_func_defn([(self._call, self, (types.VarArg(types.Any),))])

    def translated(self, arguments: tuple[Any, ...]) -> Any:
        """Return what numba made of it for these types of arguments."""
        found = self._done.get(arguments)
        if found is None:
            at = self._translation
            made = _FrontEnd(at.typing, at.target, at.library, arguments, None, self._flags, {})
            try:
                found = made.compile_extra(self._function)
            except NumbaError as error:
                found = error  # its callers try again, and so do theirs
            self._done[arguments] = found
        if isinstance(found, NumbaError):
            raise found
        return found

    def _call(self, context: Any, builder: Any, kind: Any, values: Any) -> Any:
        return context.call_internal(builder, self._done[kind.args].fndesc, kind, values)


def _template(function: _Function) -> type[AbstractTemplate]:
    class Template(AbstractTemplate):  # type: ignore[misc]
        key = function

        def generic(self, args: Any, keywords: Any) -> Any:
            return signature(function.translated(args).signature.return_type, *args)

    return Template
