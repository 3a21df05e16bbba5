"""Map operations as LLVM IR, made for one map at a time, so that its sizes are constants.

The same algorithm as `jit.maps`, which is its definition and against which the tests hold it: two hashes choose two
buckets of eight places, a place is found by its one-byte tag and its key. Here the eight tags of a bucket are one word
and are compared at once.

    i64 @find_N(ptr maps, i64 seed, ptr key)                place of the value, or -1
    i64 @update_N(ptr maps, i64 seed, ptr key, ptr value)   0 or a negated errno
    i64 @delete_N(ptr maps, i64 seed, ptr key)

`maps` is the start of the graft's storage; the map lies at a constant offset from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafting.program import MapSpec
from jit import maps
from jit.maps import ARRAY, BUCKET, E2BIG, EINVAL, ENOENT, EPERM

_FACTOR = 0x9E37_79B9_7F4A_7C15
_FINAL = 0xD6E8_FEB8_6659_FD93
_LOW_BITS = 0x0101_0101_0101_0101
_ATTRIBUTES = "nounwind willreturn"


def functions(number: int, row: Mapping[str, int]) -> str:
    """Return find, update and delete of map `number`; `row` describes it, by offsets from the start of the storage."""
    if row["kind"] == ARRAY:
        return _array(number, row)
    return _hash(number, row)


def _array(number: int, row: Mapping[str, int]) -> str:
    bits = 64 if row["key_size"] == 8 else 32  # as `jit.maps.find`
    wide = "%index = zext i32 %word to i64" if bits == 32 else "%index = add i64 %word, 0"
    if row["read_only"]:
        change = f"  ret i64 {EPERM}"
    else:
        change = f"""  %place = call i64 @find_{number}(ptr %maps, i64 %seed, ptr %key)
  %absent = icmp slt i64 %place, 0
  br i1 %absent, label %none, label %copy
none:
  ret i64 {ENOENT}
copy:
{_copy_value(row)}
  ret i64 0"""
    return f"""
define internal i64 @find_{number}(ptr %maps, i64 %seed, ptr %key) alwaysinline {_ATTRIBUTES} {{
  %word = load i{bits}, ptr %key, align 1
  {wide}
  %inside = icmp ult i64 %index, {row["entries"]}
  %place = select i1 %inside, i64 %index, i64 -1
  ret i64 %place
}}
define internal i64 @update_{number}(ptr %maps, i64 %seed, ptr %key, ptr %value) {_ATTRIBUTES} {{
{change}
}}
define internal i64 @delete_{number}(ptr %maps, i64 %seed, ptr %key) {_ATTRIBUTES} {{
  ret i64 {EPERM if row["read_only"] else EINVAL}
}}
"""


def _copy_value(row: Mapping[str, int]) -> str:
    return f"""  %value.offset = mul i64 %place, {row["stride"]}
  %value.at = add i64 %value.offset, {row["values"]}
  %value.to = getelementptr i8, ptr %maps, i64 %value.at
  call void @llvm.memmove.p0.p0.i64(ptr %value.to, ptr %value, i64 {row["value_size"]}, i1 false)"""


def _hash(number: int, row: Mapping[str, int]) -> str:
    find = _find(number, row)
    if row["read_only"]:
        return f"""{find}
define internal i64 @update_{number}(ptr %maps, i64 %seed, ptr %key, ptr %value) {_ATTRIBUTES} {{
  ret i64 {EPERM}
}}
define internal i64 @delete_{number}(ptr %maps, i64 %seed, ptr %key) {_ATTRIBUTES} {{
  ret i64 {EPERM}
}}
"""
    return f"""{find}
define internal i64 @update_{number}(ptr %maps, i64 %seed, ptr %key, ptr %value) noinline {_ATTRIBUTES} {{
  %hash = call i64 @hash_{number}(ptr %key, i64 %seed)
  %known = call i64 @find_hashed_{number}(ptr %maps, i64 %hash, ptr %key)
  %absent = icmp slt i64 %known, 0
  br i1 %absent, label %new, label %copy
new:
  %head = getelementptr i8, ptr %maps, i64 {row["head"]}
  %count = load i64, ptr %head, align 8
  %full = icmp uge i64 %count, {row["entries"]}
  br i1 %full, label %refused, label %room
room:
  %first = call i64 @bucket_{number}(i64 %hash, i1 false)
  %second = call i64 @bucket_{number}(i64 %hash, i1 true)
  %first.tags = call i64 @tags_{number}(ptr %maps, i64 %first)
  %second.tags = call i64 @tags_{number}(ptr %maps, i64 %second)
  %first.free = call i64 @free_places(i64 %first.tags)
  %second.free = call i64 @free_places(i64 %second.tags)
  %first.count = call i64 @llvm.ctpop.i64(i64 %first.free)
  %second.count = call i64 @llvm.ctpop.i64(i64 %second.free)
  %other = icmp ugt i64 %second.count, %first.count
  %bucket = select i1 %other, i64 %second, i64 %first
  %free = select i1 %other, i64 %second.free, i64 %first.free
  %none = icmp eq i64 %free, 0
  br i1 %none, label %refused, label %take
refused:
  ret i64 {E2BIG}
take:
  %zeros = call i64 @llvm.ctlz.i64(i64 %free, i1 true)
  %bit = sub i64 63, %zeros
  %within = lshr i64 %bit, 3
  %base = mul i64 %bucket, {BUCKET}
  %taken = add i64 %base, %within
  %more = add i64 %count, 1
  store i64 %more, ptr %head, align 8
  %tag = call i8 @tag(i64 %hash)
  %tag.at = add i64 %taken, {row["tags"]}
  %tag.to = getelementptr i8, ptr %maps, i64 %tag.at
  store i8 %tag, ptr %tag.to, align 1
  %key.offset = mul i64 %taken, {row["key_stride"]}
  %key.at = add i64 %key.offset, {row["keys"]}
  %key.to = getelementptr i8, ptr %maps, i64 %key.at
  call void @llvm.memmove.p0.p0.i64(ptr %key.to, ptr %key, i64 {row["key_size"]}, i1 false)
  br label %copy
copy:
  %place = phi i64 [ %known, %0 ], [ %taken, %take ]
{_copy_value(row)}
  ret i64 0
}}
define internal i64 @delete_{number}(ptr %maps, i64 %seed, ptr %key) noinline {_ATTRIBUTES} {{
  %place = call i64 @find_{number}(ptr %maps, i64 %seed, ptr %key)
  %absent = icmp slt i64 %place, 0
  br i1 %absent, label %none, label %clear
none:
  ret i64 {ENOENT}
clear:
  %tag.at = add i64 %place, {row["tags"]}
  %tag.to = getelementptr i8, ptr %maps, i64 %tag.at
  store i8 0, ptr %tag.to, align 1
  %head = getelementptr i8, ptr %maps, i64 {row["head"]}
  %count = load i64, ptr %head, align 8
  %less = sub i64 %count, 1
  store i64 %less, ptr %head, align 8
  ret i64 0
}}
"""


def _find(number: int, row: Mapping[str, int]) -> str:
    buckets = row["buckets"]
    return f"""
define internal i64 @hash_{number}(ptr %key, i64 %seed) alwaysinline {_ATTRIBUTES} {{
{_hash_key(row["key_size"])}
}}
define internal i64 @bucket_{number}(i64 %hash, i1 %choice) alwaysinline {_ATTRIBUTES} {{
  %low = and i64 %hash, {0xFFFF_FFFF}
  %low.wide = mul i64 %low, {buckets}
  %first = lshr i64 %low.wide, 32
  %high = lshr i64 %hash, 32
  %high.wide = mul i64 %high, {buckets - 1}
  %other = lshr i64 %high.wide, 32
  %beyond = icmp uge i64 %other, %first
  %step = zext i1 %beyond to i64
  %second = add i64 %other, %step
  %bucket = select i1 %choice, i64 %second, i64 %first
  ret i64 %bucket
}}
define internal i64 @tags_{number}(ptr %maps, i64 %bucket) alwaysinline {_ATTRIBUTES} {{
  %offset = mul i64 %bucket, {BUCKET}
  %at = add i64 %offset, {row["tags"]}
  %from = getelementptr i8, ptr %maps, i64 %at
  %tags = load i64, ptr %from, align 8
  ret i64 %tags
}}
define internal i64 @find_in_{number}(ptr %maps, i64 %hash, i64 %bucket, ptr %key) {_ATTRIBUTES} {{
  %tags = call i64 @tags_{number}(ptr %maps, i64 %bucket)
  %tag = call i8 @tag(i64 %hash)
  %wide = zext i8 %tag to i64
  %all = mul i64 %wide, {_LOW_BITS}
  %differ = xor i64 %tags, %all
  %first = call i64 @free_places(i64 %differ)
  %base = mul i64 %bucket, {BUCKET}
  br label %next
next:
  %left = phi i64 [ %first, %0 ], [ %rest, %wrong ]
  %none = icmp eq i64 %left, 0
  br i1 %none, label %absent, label %try
try:
  %bit = call i64 @llvm.cttz.i64(i64 %left, i1 true)
  %within = lshr i64 %bit, 3
  %place = add i64 %base, %within
  %offset = mul i64 %place, {row["key_stride"]}
  %at = add i64 %offset, {row["keys"]}
  %stored = getelementptr i8, ptr %maps, i64 %at
{_same_key(row["key_size"])}
  br i1 %same, label %found, label %wrong
wrong:
  %less = sub i64 %left, 1
  %rest = and i64 %left, %less
  br label %next
found:
  ret i64 %place
absent:
  ret i64 -1
}}
define internal i64 @find_hashed_{number}(ptr %maps, i64 %hash, ptr %key) alwaysinline {_ATTRIBUTES} {{
  %first = call i64 @bucket_{number}(i64 %hash, i1 false)
  %place = call i64 @find_in_{number}(ptr %maps, i64 %hash, i64 %first, ptr %key)
  %absent = icmp slt i64 %place, 0
  br i1 %absent, label %again, label %found
found:
  ret i64 %place
again:
  %second = call i64 @bucket_{number}(i64 %hash, i1 true)
  %other = call i64 @find_in_{number}(ptr %maps, i64 %hash, i64 %second, ptr %key)
  ret i64 %other
}}
define internal i64 @find_{number}(ptr %maps, i64 %seed, ptr %key) {_ATTRIBUTES} {{
  %hash = call i64 @hash_{number}(ptr %key, i64 %seed)
  %place = call i64 @find_hashed_{number}(ptr %maps, i64 %hash, ptr %key)
  ret i64 %place
}}
"""


def _hash_key(size: int) -> str:
    lines = [f"  %s0 = xor i64 %seed, {size}"]
    state, at, step = "%s0", 0, 0
    while at + 8 <= size:
        step += 1
        lines += [
            f"  %p{step} = getelementptr i8, ptr %key, i64 {at}",
            f"  %w{step} = load i64, ptr %p{step}, align 1",
            f"  %x{step} = xor i64 {state}, %w{step}",
            f"  %m{step} = mul i64 %x{step}, {_FACTOR}",
            f"  %h{step} = lshr i64 %m{step}, 29",
            f"  %s{step} = xor i64 %m{step}, %h{step}",
        ]
        state = f"%s{step}"
        at += 8
    tail = "0"
    while at < size:
        lines += [
            f"  %tp{at} = getelementptr i8, ptr %key, i64 {at}",
            f"  %tb{at} = load i8, ptr %tp{at}, align 1",
            f"  %tw{at} = zext i8 %tb{at} to i64",
            f"  %ts{at} = shl i64 {tail}, 8",
            f"  %t{at} = or i64 %ts{at}, %tw{at}",
        ]
        tail = f"%t{at}"
        at += 1
    lines += [
        f"  %a = xor i64 {state}, {tail}",
        f"  %b = mul i64 %a, {_FACTOR}",
        "  %c = lshr i64 %b, 32",
        "  %d = xor i64 %b, %c",
        f"  %e = mul i64 %d, {_FINAL}",
        "  %f = lshr i64 %e, 29",
        "  %g = xor i64 %e, %f",
        "  ret i64 %g",
    ]
    return "\n".join(lines)


def _same_key(size: int) -> str:
    """Return code that compares `size` bytes at %key and %stored, the result in %same."""
    lines, differ, at = [], "0", 0
    for bits in (64, 32, 16, 8):
        while at + bits // 8 <= size:
            lines += [
                f"  %kp{at} = getelementptr i8, ptr %key, i64 {at}",
                f"  %op{at} = getelementptr i8, ptr %stored, i64 {at}",
                f"  %kw{at} = load i{bits}, ptr %kp{at}, align 1",
                f"  %ow{at} = load i{bits}, ptr %op{at}, align 1",
                f"  %dw{at} = xor i{bits} %kw{at}, %ow{at}",
                f"  %dx{at} = {f'zext i{bits} %dw{at} to i64' if bits < 64 else f'add i64 %dw{at}, 0'}",
                f"  %da{at} = or i64 {differ}, %dx{at}",
            ]
            differ = f"%da{at}"
            at += bits // 8
    return "\n".join([*lines, f"  %same = icmp eq i64 {differ}, 0"])


COMMON = f"""
define internal i8 @tag(i64 %hash) alwaysinline {_ATTRIBUTES} {{
  %mixed = mul i64 %hash, {_FACTOR}
  %top = lshr i64 %mixed, 56
  %byte = trunc i64 %top to i8
  %zero = icmp eq i8 %byte, 0
  %tag = select i1 %zero, i8 -1, i8 %byte
  ret i8 %tag
}}
; the bytes of a word that are 0, as the top bit of each
define internal i64 @free_places(i64 %word) alwaysinline {_ATTRIBUTES} {{
  %bytes = bitcast i64 %word to <8 x i8>
  %zero = icmp eq <8 x i8> %bytes, zeroinitializer
  %full = sext <8 x i1> %zero to <8 x i8>
  %mask = bitcast <8 x i8> %full to i64
  %top = and i64 %mask, {0x8080_8080_8080_8080}
  ret i64 %top
}}
declare i64 @llvm.ctpop.i64(i64)
declare i64 @llvm.cttz.i64(i64, i1)
declare i64 @llvm.ctlz.i64(i64, i1)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"""


def layout(specs: Sequence[MapSpec]) -> list[dict[str, int]]:
    """Return the description of each map, offsets from the start of the storage."""
    names = maps.MAP.names or ()
    found, at = [], 0
    for spec in specs:
        row, at = maps.describe(spec, at)
        found.append(dict(zip(names, row, strict=True)))
    return found
