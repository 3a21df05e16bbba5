"""Helper calls as LLVM IR: those that only touch memory are done here, the others are handed to the embedder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from grafting.diagnostics import InternalError
from grafting.hooks import Hook, Result
from grafting.isa import CallHelper
from grafting.program import Handler
from jit import machine, memory
from jit.machine import HELPER
from jit.maps import EINVAL
from jit.memory import HANDLE_BASE, MAPS
from jit.native.text import Text
from jit.native.windows import Window, pointer

PURE: Final = frozenset({1, 2, 3, 5, 1008, 1009})


def result_of(hook: Hook, number: int) -> Result:
    """Return what a helper leaves in r0."""
    helper = hook.helper(number)
    if helper is None:
        raise InternalError(f"verified code calls helper {number}, which its hook does not offer")
    return helper.result


def arguments_of(hook: Hook, number: int) -> int:
    """Return how many arguments a helper has."""
    helper = hook.helper(number)
    assert helper is not None
    return len(helper.args)


def leaves(handler: Handler) -> bool:
    """Whether a handler calls helpers that the embedder must do."""
    return any(
        isinstance(op, CallHelper) and op.number not in PURE and result_of(handler.hook, op.number) is not Result.NEVER
        for op in handler.operations.values()
    )


def control_offset(name: str) -> int:
    """Return the byte offset of a field of `machine.CONTROL`."""
    fields = machine.CONTROL.fields
    assert fields is not None
    return int(fields[name][1])


def control(text: Text, name: str) -> str:
    """Return the pointer to a field of the machine's control record."""
    return text.value(f"getelementptr inbounds i8, ptr %control, i64 {control_offset(name)}")


# --- maps -------------------------------------------------------------------------------------------------------------


def map_operation(
    text: Text, number: int, maps: Sequence[int], rows: Sequence[Mapping[str, int]], places: Sequence[str]
) -> None:
    """Write helper 1, 2 or 3 on the map that r1 names, one of `maps`; `places`: machine addresses of key and value."""
    handle = text.get(1)
    arguments = f"ptr %maps, i64 {text.word_at(control(text, 'seed'))}"
    arguments += "".join(f", ptr {place}" for place in places)
    end = text.fresh("mapped")
    if number == 2:
        _refuse_flags(text, end)
    for index, of in enumerate(maps):
        following = text.fresh("map")
        if index + 1 < len(maps):
            this = text.fresh("map")
            is_it = text.value(f"icmp eq i64 {handle}, {memory.address(HANDLE_BASE + of)}")
            text.jump_if(is_it, this, following)
            text.label(this)
        text.set(0, _on_map(text, number, of, rows[of]["stride"], arguments))
        text.jump(end)
        if index + 1 < len(maps):
            text.label(following)
    text.label(end)


def _refuse_flags(text: Text, end: str) -> None:
    """Write the refusal of an update with flags."""
    go, refuse = text.fresh("update"), text.fresh("flags")
    text.jump_if(text.value(f"icmp eq i64 {text.get(4)}, 0"), go, refuse)
    text.label(refuse)
    text.set(0, str(EINVAL))
    text.jump(end)
    text.label(go)


def _on_map(text: Text, number: int, of: int, stride: int, arguments: str) -> str:
    if number != 1:
        return text.value(f"call i64 @{'update' if number == 2 else 'delete'}_{of}({arguments})")
    place = text.value(f"call i64 @find_{of}({arguments})")
    found = text.value(f"icmp sge i64 {place}, 0")
    address = text.value(f"add i64 {text.value(f'mul i64 {place}, {stride}')}, {memory.address(MAPS + of)}")
    return text.value(f"select i1 {found}, i64 {address}, i64 0")


# --- copy and fill ----------------------------------------------------------------------------------------------------


def copy(text: Text, to: Sequence[Window], from_: Sequence[Window]) -> None:
    """Write helper 1008: r3 bytes from r2 to r1."""
    length, end = _unless_empty(text)
    target, source = pointer(text, to, text.get(1)), pointer(text, from_, text.get(2))
    text.emit(f"call void @llvm.memmove.p0.p0.i64(ptr {target}, ptr {source}, i64 {length}, i1 false)")
    _copied(text, length, end)


def fill(text: Text, to: Sequence[Window]) -> None:
    """Write helper 1009: r3 bytes at r1, each the low byte of r2."""
    length, end = _unless_empty(text)
    target = pointer(text, to, text.get(1))
    text.emit(f"call void @llvm.memset.p0.i64(ptr {target}, i8 {text.low(2, 8)}, i64 {length}, i1 false)")
    _copied(text, length, end)


def _unless_empty(text: Text) -> tuple[str, str]:
    """Go on only if r3 is not 0: a length of 0 is allowed wherever pointers point. Returns r3, and the label behind."""
    length, some, end = text.get(3), text.fresh("some"), text.fresh("copied")
    text.jump_if(text.value(f"icmp ne i64 {length}, 0"), some, end)
    text.label(some)
    return length, end


def _copied(text: Text, length: str, end: str) -> None:
    text.add_to(control(text, "copied"), length)
    text.jump(end)
    text.label(end)
    text.set(0, "0")


# --- the embedder -----------------------------------------------------------------------------------------------------


def hand_over(text: Text, number: int, arguments: int, kept: Sequence[str], resume: int) -> None:
    """Write down for the embedder which helper is called with what, and for ourselves what is needed afterwards."""
    for place, name in enumerate(kept):
        text.put_word(text.word_at(name), text.word("frames", place))
    for register in range(1, arguments + 1):
        text.put_word(text.get(register), text.word("registers", register))
    text.put_word(str(number), control(text, "helper"))
    text.put_word(str(resume), control(text, "pc"))


def leave(text: Text, kept: Sequence[str], resume: str) -> None:
    """Return to the embedder; the code behind goes on once it has done what the helper does."""
    text.emit(f"ret i64 {HELPER}")
    text.label(resume)
    for place, name in enumerate(kept):
        text.put_word(text.word_at(text.word("frames", place)), name)
    text.set(0, text.word_at("%registers"))
