"""Functions around any handler's code, as LLVM IR: one run of a raw program, and runs over whole arrays.

    i64  @run_memory(ptr code, ptr memory)                                      r0; `run_context` likewise
    void @many_memory(ptr code, ptr memories, i64 stride, i64 count, ptr results)        r0 of each; `many_context`
    i64  @messages(ptr code, ptr contexts, ptr bodies, i64 stride, i64 from, i64 count, ptr results,
                   ptr context, ptr body, ptr stack, ptr maps, ptr registers, ptr frames, ptr control)

`code` is a handler's function (`lowering`). `messages` runs it on message after message, each copied into the machine's
windows first, and returns `count`, or the index of a message at which the handler called a helper of the embedder's;
called again with that index it goes on there. They are compiled once, not for each program.
"""

from __future__ import annotations

from typing import Final

from grafting import limits
from jit import machine, memory
from jit.machine import HELPER
from jit.memory import BODY, FRAMES
from jit.native.helpers import control_offset
from jit.native.lowering import ARGUMENTS

WINDOWS: Final = tuple(name for name in ARGUMENTS if name != "counts")  # as `messages` takes them
NAMES: Final = ("run_memory", "many_memory", "run_context", "many_context", "messages")


def module() -> str:
    """Return the IR of all of them."""
    return "\n".join([_raw("memory", "body"), _raw("context", "context"), _MESSAGES])


def _call(given: dict[str, str]) -> str:
    arguments = ", ".join(f"ptr {given.get(name, 'null')}" for name in ARGUMENTS)
    return f"call i64 %code({arguments})"


def _raw(kind: str, window: str) -> str:
    given = {name: f"%{name}" for name in ("registers", "frames", "control")}
    return f"""
define i64 @run_{kind}(ptr %code, ptr %memory) nounwind {{
  %registers = alloca [16 x i64], align 8
  %frames = alloca [{FRAMES * machine.FRAME_WORDS} x i64], align 8
  %control = alloca [{machine.CONTROL.itemsize} x i8], align 8
  %status = {_call({**given, window: "%memory"})}
  %result = load i64, ptr %registers, align 8
  ret i64 %result
}}
define void @many_{kind}(ptr %code, ptr %memories, i64 %stride, i64 %count, ptr %results) nounwind {{
  br label %next
next:
  %item = phi i64 [ 0, %0 ], [ %following, %run ]
  %done = icmp uge i64 %item, %count
  br i1 %done, label %end, label %run
run:
  %offset = mul i64 %item, %stride
  %memory = getelementptr i8, ptr %memories, i64 %offset
  %result = call i64 @run_{kind}(ptr %code, ptr %memory)
  %result.at = getelementptr i64, ptr %results, i64 %item
  store i64 %result, ptr %result.at, align 8
  %following = add i64 %item, 1
  br label %next
end:
  ret void
}}
"""


_PARAMETERS = ", ".join(f"ptr %{name}" for name in WINDOWS)
_MESSAGES = f"""
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define i64 @messages(
  ptr %code, ptr %contexts, ptr %bodies, i64 %stride, i64 %from, i64 %count, ptr %results, {_PARAMETERS}
) nounwind {{
  %pc.at = getelementptr i8, ptr %control, i64 {control_offset("pc")}
  %pc = load i64, ptr %pc.at, align 8
  %going.on = icmp slt i64 %pc, 0
  br i1 %going.on, label %run, label %next
next:
  %item = phi i64 [ %from, %0 ], [ %following, %done ]
  %none = icmp uge i64 %item, %count
  br i1 %none, label %end, label %load
load:
  store i64 0, ptr %pc.at, align 8
  %context.offset = mul i64 %item, {limits.CONTEXT_BYTES}
  %context.from = getelementptr i8, ptr %contexts, i64 %context.offset
  call void @llvm.memcpy.p0.p0.i64(ptr %context, ptr %context.from, i64 {limits.CONTEXT_BYTES}, i1 false)
  %data.end.at = getelementptr i8, ptr %context, i64 8
  %data.end = load i64, ptr %data.end.at, align 8
  %length = sub i64 %data.end, {memory.address(BODY)}
  %body.offset = mul i64 %item, %stride
  %body.from = getelementptr i8, ptr %bodies, i64 %body.offset
  call void @llvm.memcpy.p0.p0.i64(ptr %body, ptr %body.from, i64 %length, i1 false)
  br label %run
run:
  %running = phi i64 [ %from, %0 ], [ %item, %load ]
  %status = {_call({name: f"%{name}" for name in WINDOWS})}
  %stopped = icmp eq i64 %status, {HELPER}
  br i1 %stopped, label %leave, label %done
leave:
  ret i64 %running
done:
  %result = load i64, ptr %registers, align 8
  %result.at = getelementptr i64, ptr %results, i64 %running
  store i64 %result, ptr %result.at, align 8
  %following = add i64 %running, 1
  br label %next
end:
  ret i64 %count
}}
"""
