"""Programs written to make a verifier work: families of hand-made shapes, and random code that is mostly loops.

`shapes()` names each hand-made program; `loops_at_random(seed)` writes one of loops in loops whose counters have ends,
strides and tests that fit together badly. All are assembly text for `raw_context(192)`. The question is never what the
verdict is, only what it costs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

SIGN = 1 << 31
"""Where a signed number of 32 bits turns over: bounds that are moved towards it by ones never settle by themselves."""

_CONDITIONS = ("==", "!=", "<", "<=", ">", ">=", "s<", "s<=", "s>", "s>=", "&")
_ENDS = (0, 1, 2, 7, 63, 1000, SIGN - 2, SIGN - 1, -1, -2, -SIGN, -SIGN + 1)
_LOAD = "r6 = *(u64 *)(r1 + 0)\nr7 = *(u64 *)(r1 + 8)\nr8 = *(u32 *)(r1 + 16)\nr9 = *(u32 *)(r1 + 20)\n"


def shapes() -> Iterator[tuple[str, str]]:
    """Yield (name, program)."""
    yield from _walks_across_the_sign()
    yield from _nests()
    yield from _many_states()
    yield from _calls()
    yield from _wide_code()


def _walks_across_the_sign() -> Iterator[tuple[str, str]]:
    """Loops in which a bound moves by ones for up to 2^32 rounds: 7 to 15 instructions each."""
    for start in ("r6", "w8", "r8"):
        name, width = start[1], start[0]
        for limit in (SIGN - 1, SIGN - 16, -SIGN + 15, -1):
            for test in ("s<", "s>", "!=", "<", "=="):
                yield (f"count {start} until {test} {limit}",
                       f"{_LOAD}L: {width}{name} += 1\nif w{name} {test} {limit} goto L\nr0 = 0\nexit\n")  # fmt: skip
    for step in ("w6 += 1", "w6 += -1", "w6 -= 1"):
        yield (f"two tests around the sign, {step}",
               f"{_LOAD}L: {step}\nif w6 s> {SIGN - 2} goto M\nif w6 s< {-SIGN + 2} goto M\ngoto L\n"
               "M: w7 += 1\nif w7 s< 5 goto L\nr0 = 0\nexit\n")  # fmt: skip
        yield (f"joined with its step, {step}",
               f"{_LOAD}L: if w7 & 1 goto M\n{step}\nM: w7 >>= 1\nr6 <<= 32\nr6 s>>= 32\n"
               f"if r6 s< {SIGN - 1} goto L\nr0 = 0\nexit\n")  # fmt: skip
        yield (f"cut to 32 bits and back, {step}",
               f"r6 = 0\nr7 = *(u64 *)(r1 + 0)\nL: {step}\nr8 = r6\nr8 <<= 32\nr8 s>>= 32\nif r8 s> r7 goto L\n"
               f"if w6 s<= {SIGN - 1} goto L\nr0 = 0\nexit\n")  # fmt: skip
        yield (f"a start that is joined, {step}",
               f"{_LOAD}if r7 > 9 goto L\nr6 = {SIGN - 1}\nL: {step}\nif r8 == r6 goto L\nw8 += 1\n"
               f"if w6 s> w8 goto L\nr0 = 0\nexit\n")  # fmt: skip
    yield ("doubling until equal", f"{_LOAD}r6 |= 1\nL: r6 <<= 1\nr6 += 1\nif w6 != {SIGN - 1} goto L\nr0 = 0\nexit\n")
    yield ("by multiplying", f"{_LOAD}L: w6 *= 3\nw6 += 1\nif w6 s< {SIGN - 1} goto L\nr0 = 0\nexit\n")
    yield ("with its own negative", f"{_LOAD}L: w6 = -w6\nw6 += 1\nif w6 s< {SIGN - 1} goto L\nr0 = 0\nexit\n")
    yield ("a swap every round",
           f"{_LOAD}L: r5 = r6\nr6 = r7\nr7 = r5\nw6 += 1\nif w6 s< w7 goto L\nif w7 s< {SIGN - 1} goto L\n"
           "r0 = 0\nexit\n")  # fmt: skip


def _nests() -> Iterator[tuple[str, str]]:
    """Loops in loops: each level walks what is inside more than once."""
    for depth in (2, 4, 6, 8):
        registers = [f"*(u64 *)(r10 - {8 * (n + 1)})" for n in range(depth)]
        text = _LOAD
        for n, place in enumerate(registers):
            text += f"r0 = 0\n{place} = r0\nL{n}:\n"
        for n, place in reversed(list(enumerate(registers))):
            text += f"r0 = {place}\nr0 += 1\n{place} = r0\nif r0 < 10 goto L{n}\n"
        yield f"{depth} loops nested, counters on the stack", text + "r0 = 0\nexit\n"
        heads = "".join(f"L{n}:\n" for n in range(depth))
        tails = "".join(f"r7 = r6\nr7 >>= {n}\nr6 *= 5\nif r7 & {n + 1} goto L{n}\n" for n in reversed(range(depth)))
        yield f"{depth} loops nested, without a ranking", _LOAD + heads + tails + "r0 = 0\nexit\n"
        tails = "".join(f"r6 += {n + 1}\nif r6 != {1000 + n} goto L{n}\n" for n in reversed(range(depth)))
        yield f"{depth} loops nested, one counter for all", _LOAD + "r6 = 0\n" + heads + tails + "r0 = 0\nexit\n"
    chain = "".join(f"r6 = 0\nL{n}: r6 += 3\nif r6 != 999 goto L{n}\n" for n in range(200))
    yield "200 loops one after the other", chain + "r0 = 0\nexit\n"
    chain = "".join(f"L{n}: r6 *= 5\nr6 += 1\nif r6 & 8 goto L{n}\n" for n in range(100))
    yield "100 loops without a ranking", _LOAD + chain + "r0 = 0\nexit\n"
    web = "".join(f"L{n}: r6 += {n + 1}\nif r6 & {1 << n % 30} goto L{(n * 7 + 3) % 24}\n" for n in range(24))
    yield "jumps everywhere", _LOAD + web + "r0 = 0\nexit\n"


def _many_states() -> Iterator[tuple[str, str]]:
    """Paths that differ in what they know, in ever more places."""
    kept = "".join(f"if r6 & {1 << n % 31} goto L{n}\n*(u64 *)(r10 - {8 * (n % 64 + 1)}) = r7\nL{n}: r7 += 1\n"
                   for n in range(500))  # fmt: skip
    yield "500 branches that write to the stack", _LOAD + kept + "r0 = 0\nexit\n"
    index = "".join(f"if r6 & {1 << n % 31} goto L{n}\nr7 += {1 << n % 20}\nL{n}: r7 &= 63\n" for n in range(300))
    use = "r7 <<= 1\nr3 = r10\nr3 += r7\n*(u8 *)(r3 - 128) = 1\n"
    yield "300 branches and a masked index", _LOAD + "r7 = 0\n" + index + use + "r0 = 0\nexit\n"
    bits = "".join(f"if r6 & {1 << n} goto L{n}\nr7 |= {1 << n}\nL{n}:\n" for n in range(28))
    for at in (-128, -1):
        use = f"r3 = r10\nr3 += r7\n*(u8 *)(r3 {at:+d}) = 1\n"
        yield f"an index of 28 branches, r10{at:+d}", _LOAD + "r7 = 0\n" + bits + use + "r0 = 0\nexit\n"
    for rounds in (16, 1000):
        loop = f"r9 = 0\nM:\n{bits.replace('|=', '^=')}r9 += 1\nif r9 < {rounds} goto M\n"
        yield f"28 branches in a loop of {rounds}", _LOAD + "r7 = 0\n" + loop + use + "r0 = 0\nexit\n"
    ladder = "".join(f"if r6 == {n} goto out\nr7 += {n}\n" for n in range(2000))
    yield "2000 ways to one place", _LOAD + ladder + "out: r0 = r7\nexit\n"
    ladder = "".join(f"r{n % 3 + 7} += {n}\nif r6 == {n} goto out\n" for n in range(2000))
    yield "2000 states at one place", _LOAD + ladder + "out: r7 &= 7\nr3 = r10\nr3 += r7\n*(u8 *)(r3 - 8) = 1\n" \
        "r4 = *(u8 *)(r10 - 7)\nr0 = r7\nexit\n"  # fmt: skip
    somewhere = "".join(f"r2 = *(u64 *)(r1 + {8 * (n % 20)})\nr2 &= 511\nr3 = r10\nr3 += r2\n*(u8 *)(r3 - 512) = r6\n"
                        for n in range(300))  # fmt: skip
    full = "".join(f"*(u64 *)(r10 - {8 * (n + 1)}) = r6\n" for n in range(64))
    yield "300 stores somewhere on a full stack", _LOAD + full + somewhere + "r0 = 0\nexit\n"
    reads = "".join(f"r2 = *(u64 *)(r1 + {8 * (n % 20)})\nr2 &= 248\nr3 = r10\nr3 += r2\nr4 = *(u64 *)(r3 - 512)\n"
                    for n in range(300))  # fmt: skip
    yield "300 reads somewhere of a full stack", _LOAD + full + reads + "r0 = 0\nexit\n"
    pieces = "".join(f"*(u8 *)(r10 - {n + 1}) = r{6 + n % 4}\n" for n in range(512))
    yield "a stack of bytes, compared often", _LOAD + pieces + index + "r0 = r7\nexit\n"


def _calls() -> Iterator[tuple[str, str]]:
    """Functions that call functions: each call walks the callee again."""
    for calls, depth in ((2, 7), (4, 7), (8, 4)):
        text = _LOAD + "r1 = r6\ncall f1\nexit\n"
        for level in range(1, depth + 1):
            inner = f"r1 = r6\nr1 += 1\ncall f{level + 1}\nr6 += r0\n" * calls if level < depth else "r6 *= 3\n"
            text += f"f{level}:\nr6 = r1\n{inner}r0 = r6\nexit\n"
        yield f"{calls} calls in each of {depth} functions", text
    branch = "r6 = r1\nif r6 & 1 goto +1\nr6 *= 3\nr1 = r6\n"
    text = _LOAD + "r1 = r6\ncall f1\nexit\n"
    for level in range(1, 7):
        inner = f"r1 = r6\ncall f{level + 1}\nr6 += r0\n" * 3 if level < 6 else ""
        text += f"f{level}:\n{branch}{inner}r0 = r6\nexit\n"
    yield "branches in 3 calls in each of 6 functions", text
    text = _LOAD + "r9 = 0\nL: r1 = r9\ncall f\nr6 += r0\nr9 += 1\nif r9 < 1000 goto L\nr0 = r6\nexit\n"
    text += "f:\nr6 = r1\nr7 = 0\nM: r7 += 1\nr6 *= 3\nif r7 < r6 goto M\nr0 = r6\nexit\n"
    yield "a loop without a ranking, called in a loop", text


def _wide_code() -> Iterator[tuple[str, str]]:
    """Long programs of nothing much."""
    yield "60,000 additions", _LOAD + "r6 += r7\n" * 60_000 + "r0 = 0\nexit\n"
    yield "20,000 divisions", _LOAD + "r6 s/= r7\nr6 ^= r8\n" * 10_000 + "r0 = 0\nexit\n"
    skips = "if r6 > r7 goto +1\nr6 += 1\n" * 20_000
    yield "20,000 branches", _LOAD + skips + "r0 = 0\nexit\n"
    loops = "".join(f"L{n}: r6 += 1\nif r6 < r7 goto L{n}\n" for n in range(5000))
    yield "5,000 loops", _LOAD + loops + "r0 = 0\nexit\n"
    backs = "".join(f"L{n}: r6 += 1\n" for n in range(2000)) + "".join(f"if r6 & {n} goto L{n}\n" for n in range(2000))
    yield "2,000 ways back", _LOAD + backs + "r0 = 0\nexit\n"


# --- at random -------------------------------------------------------------------------------------------------------


def loops_at_random(seed: int) -> str:
    """Return a program of loops in loops, branches and a few accesses that need a bound."""
    choose = random.Random(seed)
    lines = [_LOAD.rstrip(), *(f"*(u64 *)(r10 - {8 * n}) = r{6 + n % 4}" for n in range(1, choose.choice((2, 9, 33))))]
    _Loops(choose, lines).statements(choose.randrange(2, 7), 0)
    return "\n".join([*lines, "r0 = 0", "exit", ""])


class _Loops:
    def __init__(self, choose: random.Random, lines: list[str]) -> None:
        self.choose, self.lines, self.labels = choose, lines, 0

    def _label(self) -> str:
        self.labels += 1
        return f"L{self.labels}"

    def _register(self) -> str:
        return self.choose.choice("rrw") + self.choose.choice("6789")

    def _operand(self, register: str) -> str:
        if self.choose.random() < 0.4:
            return register[0] + self.choose.choice("6789")
        return str(self.choose.choice(_ENDS))

    def _comparison(self) -> str:
        left = self._register()
        return f"if {left} {self.choose.choice(_CONDITIONS)} {self._operand(left)}"

    def statements(self, count: int, depth: int) -> None:
        for _ in range(count):
            kind = self.choose.random()
            if kind < 0.35 and depth < 5:
                self._loop(depth)
            elif kind < 0.5 and depth < 5:
                out = self._label()
                self.lines.append(f"{self._comparison()} goto {out}")
                self.statements(self.choose.randrange(1, 3), depth + 1)
                self.lines.append(f"{out}:")
            elif kind < 0.6:
                place = f"*(u64 *)(r10 - {8 * self.choose.randrange(1, 9)})"
                self.lines.append(self.choose.choice((f"r{self.choose.choice('6789')} = {place}",
                                                      f"{place} = r{self.choose.choice('6789')}")))  # fmt: skip
            elif kind < 0.68:
                self.lines += [f"r2 = r{self.choose.choice('6789')}", f"r2 &= {self.choose.choice((7, 63, 128))}",
                               "r3 = r10", "r3 += r2", "*(u8 *)(r3 - 128) = 0"]  # fmt: skip
            else:
                self._change()

    def _change(self) -> None:
        register = self._register()
        operator = self.choose.choice(("+=", "+=", "+=", "-=", "*=", ">>=", "&=", "^=", "=", "s>>=", "|="))
        if operator in (">>=", "s>>="):
            operand = str(self.choose.randrange(1, 5))
        elif operator in ("+=", "-="):
            operand = str(self.choose.choice((1, 1, 1, 2, 3, -1)))
        else:
            operand = self._operand(register)
        self.lines.append(f"{register} {operator} {operand}")

    def _loop(self, depth: int) -> None:
        head, out = self._label(), self._label()
        if self.choose.random() < 0.5:
            self.lines.append(f"r{self.choose.choice('6789')} = {self.choose.choice(_ENDS)}")
        self.lines.append(f"{head}:")
        if self.choose.random() < 0.3:
            self.lines.append(f"{self._comparison()} goto {out}")
        self.statements(self.choose.randrange(0, 3), depth + 1)
        self._change()
        self.lines += [f"{self._comparison()} goto {head}", f"{out}:"]
