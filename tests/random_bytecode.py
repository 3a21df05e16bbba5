"""Random programs for the verifier: most are almost right, so that acceptance is earned by a bound that just holds.

`raw_program(seed)` runs under `raw_context(192)`, `graft_program(seed)` on a reply with a body, a map and a capability.
Both are assembly text. r6 to r9 hold numbers throughout, r0 to r5 are scratch; the context's address is at r10 - 256.
"""

from __future__ import annotations

import random

INTERESTING = (0, 1, 2, 3, 7, 8, 9, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 4095, 4096, 0x7FFFFFFF,
               -1, -2, -8, -64, -128)  # fmt: skip
CONDITIONS = ("==", "!=", "<", "<=", ">", ">=", "s<", "s<=", "s>", "s>=", "&")
OPERATORS = ("+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=", "<<=", ">>=", "s>>=", "s/=", "s%=")
NUMBERS = (6, 7, 8, 9)


class Generator:
    """Writes one program."""

    def __init__(self, seed: int, *, graft: bool) -> None:
        self.random = random.Random(seed)
        self.graft = graft
        self.lines: list[str] = []
        self.labels = 0
        self.functions: list[list[str]] = []
        self.budget = self.random.randrange(4, 26)

    def emit(self, *lines: str) -> None:
        self.lines += lines

    def label(self) -> str:
        self.labels += 1
        return f"L{self.labels}"

    def number(self) -> str:
        return f"r{self.random.choice(NUMBERS)}"

    def constant(self) -> int:
        value = self.random.choice(INTERESTING)
        return value if self.random.random() < 0.7 else self.random.randrange(-300, 300)

    def program(self) -> str:
        self.prologue()
        self.statements(self.budget, 0)
        self.epilogue()
        for function in self.functions:
            self.lines += function
        return "\n".join(self.lines) + "\n"

    def prologue(self) -> None:
        self.emit("*(u64 *)(r10 - 256) = r1")
        if self.graft:
            self.emit("r6 = *(u64 *)(r1 + 16)", "r7 = *(u32 *)(r1 + 40)", "r8 = *(u64 *)(r1 + 24)", "r9 = 0")
        else:
            self.emit("r6 = *(u32 *)(r1 + 0)", "r7 = *(u32 *)(r1 + 8)", f"r8 = {self.constant()}", "r9 = 0")
            if self.random.random() < 0.3:
                self.emit("r8 = *(u64 *)(r1 + 16)")
        for slot in range(17 if self.random.random() < 0.8 else self.random.randrange(0, 9)):
            self.emit(f"*(u64 *)(r10 - {8 * (slot + 1)}) = {self.number()}")

    def epilogue(self) -> None:
        if self.graft:
            self.emit(self.random.choice(["r0 = 0", "r0 = 1", "r0 = r7\nr0 &= 1", "r0 = r9\nr0 %= 2"]), "exit")
        else:
            self.emit(f"r0 = {self.number()}", "exit")

    def statements(self, count: int, depth: int) -> None:
        kinds = [
            self.alu,
            self.alu,
            self.alu,
            self.narrow,
            self.access,
            self.access,
            self.branch,
            self.loop,
            self.spill,
        ]
        kinds += [self.call] if not self.functions and depth < 2 else []
        kinds += [self.body, self.map, self.body, self.map, self.send] if self.graft else [self.context]
        for _ in range(count):
            if self.budget <= 0:
                return
            self.budget -= 1
            kind = self.random.choice(kinds)
            if depth >= 3 and kind in (self.branch, self.loop):
                kind = self.alu
            kind(depth)

    def alu(self, depth: int) -> None:
        r = self.random
        number = self.number()[1:]
        width = r.choice(["r", "r", "w"])
        dst = width + number
        if r.random() < 0.1:
            self.emit(r.choice([f"{dst} = -{dst}", f"r{number} = be16 r{number}", f"{dst} = (s8){dst}",
                                f"r{number} = bswap32 r{number}", f"r{number} = (s32)r{number}",
                                f"{dst} = (s16){dst}", f"r{number} = le32 r{number}"]))  # fmt: skip
            return
        operator = "=" if r.random() < 0.2 else r.choice(OPERATORS)
        source = width + self.number()[1:] if r.random() < 0.5 else str(self.constant())
        if operator in ("<<=", ">>=", "s>>=") and r.random() < 0.8:
            source = str(r.randrange(0, 64 if width == "r" else 32))
        self.emit(f"{dst} {operator} {source}")

    def narrow(self, depth: int) -> None:
        r, dst, label = self.random, self.number(), self.label()
        limit = r.choice((1, 7, 8, 15, 31, 56, 63, 64, 127))
        self.emit(
            r.choice([
                f"{dst} &= {limit}", f"{dst} %= {limit}", f"{dst} >>= {r.randrange(50, 64)}",
                f"if {dst} < {limit} goto {label}\n{dst} = 0\n{label}:",
                f"if w{dst[1:]} <= {limit} goto {label}\n{dst} = 3\n{label}:",
                f"if {dst} s> {limit} goto +1\nif {dst} s>= 0 goto {label}\n{dst} = 1\n{label}:",
                f"if {dst} != {limit} goto {label}\n{dst} = {limit}\n{label}:",
            ])
        )  # fmt: skip

    def access(self, depth: int) -> None:
        r, index = self.random, self.number()
        size, bits = r.choice([(1, 8), (1, 8), (2, 16), (4, 32), (8, 64)])
        top = r.choice([8, 16, 32, 40, 64, 128, 136])
        if r.random() < 0.3:
            at = -r.randrange(1, 9) * 8 + r.choice([0, 0, 0, size])
            self.emit(f"r3 = *(u{bits} *)(r10 {at:+d})" if r.random() < 0.5 else f"*(u{bits} *)(r10 {at:+d}) = {index}")
            return
        self.emit(f"r2 = {index}")
        if r.random() < 0.7:
            self.emit(f"r2 &= {r.choice([7, 15, 31, 63, 127, 56, 24, 60, 3])}")
        if size > 1 and r.random() < 0.9:
            self.emit(f"r2 <<= {bits.bit_length() - 4}" if r.random() < 0.5 else f"r2 &= {-size}")
        self.emit("r3 = r10", f"r3 += {-top}", "r3 += r2")
        if r.random() < 0.6:
            self.emit(f"*(u{bits} *)(r3 + 0) = {self.number()}")
        else:
            self.emit(f"r4 = *(u{bits} *)(r3 + 0)", f"{self.number()} = r4")

    def branch(self, depth: int) -> None:
        r, label = self.random, self.label()
        width = r.choice(["r", "r", "w"])
        left = width + self.number()[1:]
        right = width + self.number()[1:] if r.random() < 0.4 else str(self.constant())
        self.emit(f"if {left} {r.choice(CONDITIONS)} {right} goto {label}")
        self.statements(r.randrange(1, 4), depth + 1)
        if r.random() < 0.4:
            other = self.label()
            self.emit(f"goto {other}", f"{label}:")
            self.statements(r.randrange(1, 3), depth + 1)
            self.emit(f"{other}:")
        else:
            self.emit(f"{label}:")

    def loop(self, depth: int) -> None:
        r, head, out = self.random, self.label(), self.label()
        counter = r.choice(NUMBERS)
        width = r.choice(["r", "r", "w"])
        name = f"{width}{counter}"
        step = r.choice([1, 1, 1, 2, 3, 4, 8])
        count = r.choice([1, 2, 3, 5, 8, 16, 40])
        shape = r.randrange(8)
        if shape == 0:
            self.emit(f"r{counter} = 0", f"{head}:")
            self.statements(r.randrange(1, 3), depth + 1)
            self.emit(f"{name} += {step}", f"if {name} {r.choice(['<', '<=', 's<', '!='])} {count * step} goto {head}")
        elif shape == 1:
            self.emit(f"r{counter} = {count * step}", f"{head}: if {name} == 0 goto {out}")
            self.statements(r.randrange(1, 3), depth + 1)
            self.emit(f"{name} -= {step}", f"goto {head}", f"{out}:")
        elif shape == 2:
            limit = self.number()
            self.emit(f"r{counter} = 0", f"{limit} &= {r.choice([7, 31, 63])}",
                      f"{head}: if {name} {r.choice(['>=', '>', 's>='])} {width}{limit[1:]} goto {out}")  # fmt: skip
            self.statements(r.randrange(1, 3), depth + 1)
            self.emit(f"{name} += {step}", f"goto {head}", f"{out}:")
        elif shape == 3:
            self.emit(f"{head}: if {name} == 0 goto {out}")
            self.statements(r.randrange(0, 2), depth + 1)
            self.emit(r.choice([f"{name} >>= {r.randrange(1, 4)}", f"{name} /= {r.randrange(2, 9)}",
                                f"r5 = r{counter}\nr5 += -1\nr{counter} &= r5"]))  # fmt: skip
            self.emit(f"goto {head}", f"{out}:")
        elif shape == 4:
            self.emit("r4 = 0", "*(u64 *)(r10 - 72) = r4", f"{head}: r4 = *(u64 *)(r10 - 72)",
                      f"if r4 >= {count} goto {out}", "r4 += 1", "*(u64 *)(r10 - 72) = r4")  # fmt: skip
            self.statements(r.randrange(1, 3), depth + 1)
            self.emit(f"goto {head}", f"{out}:")
        elif shape == 5:
            self.emit(f"r{counter} = 1", f"{head}:")
            self.statements(r.randrange(0, 2), depth + 1)
            self.emit(f"{name} {r.choice(['<<= 1', '*= 3', '+= ' + str(step)])}", f"if {name} < {count} goto {head}")
        elif shape == 6:  # two turns, one of which sets the inner counter back; or two ends that meet
            other = r.choice([n for n in NUMBERS if n != counter])
            skip = self.label()
            if r.random() < 0.5:
                self.emit(f"r{counter} = 0", f"r{other} = 0", f"{head}:")
                self.statements(r.randrange(0, 2), depth + 1)
                self.emit(f"r{other} += 1", f"if r{other} < {count} goto {head}", f"r{other} = 0",
                          f"r{counter} += {step}", f"if r{counter} < {3 * step} goto {head}")  # fmt: skip
            else:
                self.emit(f"r{counter} = 0", f"r{other} &= 63", f"{head}: if r{counter} >= r{other} goto {out}")
                self.statements(r.randrange(0, 2), depth + 1)
                self.emit(f"if {self.number()} {r.choice(CONDITIONS)} {self.constant()} goto {skip}",
                          f"r{counter} += 1", f"goto {head}", f"{skip}: r{other} -= {r.choice([1, 1, 2])}",
                          f"goto {head}", f"{out}:")  # fmt: skip
        else:  # binary search, or Euclid
            other = r.choice([n for n in NUMBERS if n != counter])
            up = self.label()
            if r.random() < 0.5:
                self.emit(f"r{counter} = 0", f"r{other} = {r.choice([1, 2, 5, 64, 256])}",
                          f"{head}: if r{counter} >= r{other} goto {out}", f"r4 = r{counter}", f"r4 += r{other}",
                          "r4 >>= 1", f"if r4 {r.choice(['>', '<', 's>'])} {self.number()} goto {up}", "r4 += 1",
                          f"r{counter} = r4", f"goto {head}", f"{up}: r{other} = r4", f"goto {head}",
                          f"{out}:")  # fmt: skip
            else:
                self.emit(f"r{other} &= {r.choice([1, 7, 255, 4095])}", f"{head}: if r{other} == 0 goto {out}",
                          f"r4 = r{counter}", r.choice([f"r4 %= r{other}", f"w4 %= w{other}"]),
                          f"r{counter} = r{other}", f"r{other} = r4", f"goto {head}", f"{out}:")  # fmt: skip

    def spill(self, depth: int) -> None:
        r = self.random
        at = -8 * r.randrange(1, 9)
        self.emit(
            r.choice([
                f"*(u64 *)(r10 {at:+d}) = r10", f"*(u64 *)(r10 {at:+d}) = {self.number()}",
                f"{self.number()} = *(u64 *)(r10 {at:+d})", f"r2 = *(u64 *)(r10 {at:+d})\n*(u8 *)(r2 - 1) = 0",
                f"lock *(u64 *)(r10 {at:+d}) += {self.number()}",
                f"r2 = {self.number()}\nr2 = atomic_fetch_add((u64 *)(r10 {at:+d}), r2)\n{self.number()} = r2",
                f"r2 = {self.number()}\nw2 = xchg32_32(r10 {at:+d}, w2)\n{self.number()} = r2",
                f"r0 = {self.number()}\nr0 = cmpxchg_64(r10 {at:+d}, r0, {self.number()})\n{self.number()} = r0",
            ])
        )  # fmt: skip

    def call(self, depth: int) -> None:
        name = f"f{len(self.functions)}"
        body, self.lines = self.lines, []
        self.functions.append([])
        self.emit(f"{name}:", "r6 = r1", "r7 = r2", "r8 = 3", "r9 = 0")
        for slot in range(self.random.choice([0, 9, 9])):
            self.emit(f"*(u64 *)(r10 - {8 * (slot + 1)}) = r6")
        graft, self.graft = self.graft, False
        self.statements(self.random.randrange(1, 4), 2)
        self.graft = graft
        self.emit(f"r0 = {self.number()}", "exit")
        self.functions[-1], self.lines = self.lines, body
        self.emit(f"r1 = {self.number()}", f"r2 = {self.number()}", f"call {name}", f"{self.number()} = r0")

    def context(self, depth: int) -> None:
        size, bits = self.random.choice([(1, 8), (4, 32), (8, 64)])
        self.emit("r1 = *(u64 *)(r10 - 256)")
        if self.random.random() < 0.7:
            self.emit(f"r5 = {self.number()}", f"r5 &= {self.random.choice([7, 63, 120, 127, 184])}", f"r5 &= {-size}")
            self.emit("r1 += r5")
        self.emit(f"r5 = *(u{bits} *)(r1 + {self.random.choice([0, 8, 16, 64, 184])})", f"{self.number()} = r5")

    def body(self, depth: int) -> None:
        r, out = self.random, self.label()
        size, bits = r.choice([(1, 8), (1, 8), (2, 16), (4, 32), (8, 64)])
        at, ahead = r.choice([0, 8, 16, 64]), r.choice([0, 0, 8, 16])
        self.emit("r1 = *(u64 *)(r10 - 256)", "r2 = *(u64 *)(r1 + 0)", "r3 = *(u64 *)(r1 + 8)")
        if r.random() < 0.6:
            self.emit(f"r5 = {self.number()}", f"r5 &= {r.choice([7, 63, 255, 56, 0x7FFF, 0xFFFF])}", f"r5 &= {-size}",
                      "r2 += r5")  # fmt: skip
        self.emit("r4 = r2", f"r4 += {at + ahead + r.choice([size, size, 8, 0])}")
        self.emit(r.choice([f"if r4 > r3 goto {out}", f"if r3 < r4 goto {out}", f"if r4 >= r3 goto {out}"]))
        self.emit(f"r5 = *(u{bits} *)(r2 + {at})", f"{self.number()} = r5", f"{out}:")
        if r.random() < 0.2:
            self.emit("r3 -= r2", f"{self.number()} = r3")

    def map(self, depth: int) -> None:
        r, out = self.random, self.label()
        kind = r.randrange(3)
        self.emit(f"*(u64 *)(r10 - 128) = {self.number()}", "r2 = r10", "r2 += -128")
        if kind == 0:
            self.emit(f"r1 = map {r.randrange(2)} ll", "call 1", f"if r0 == 0 goto {out}")
            offset = r.choice([0, 0, 0, 4, 8])
            if r.random() < 0.4:
                self.emit(f"r5 = {self.number()}", f"r5 &= {r.choice([7, 4, 0])}", "r0 += r5")
            self.emit(f"r5 = *(u{r.choice([8, 32, 64])} *)(r0 + {offset})", f"{self.number()} = r5")
            if r.random() < 0.5:
                self.emit(f"*(u8 *)(r0 + {offset}) = {self.number()}")
            self.emit(f"{out}:")
        elif kind == 1:
            self.emit(f"*(u64 *)(r10 - 136) = {self.number()}", f"r1 = map {r.randrange(2)} ll",
                      "r3 = r10", "r3 += -136", "r4 = 0", "call 2", f"{self.number()} = r0")  # fmt: skip
        else:
            self.emit("r1 = map 0 ll", "call 3")

    def send(self, depth: int) -> None:
        r = self.random
        self.emit(f"*(u64 *)(r10 - 144) = {self.number()}", f"r1 = {r.choice([0] * 12 + [1])}",
                  f"r2 = {r.choice([0] * 12 + [1])}", f"r3 = {self.number()}", "r4 = r10", "r4 += -144",
                  f"r5 = {r.choice([8] * 15 + [16])}", "call 1000", f"{self.number()} = r0")  # fmt: skip


def raw_program(seed: int) -> str:
    """Return a program for `raw_context(192)`."""
    return Generator(seed, graft=False).program()


def graft_program(seed: int) -> str:
    """Return a reply handler of a graft with maps 0 (hash, u64 -> u64) and 1 (array, u32 -> 16 bytes) and one slot."""
    return Generator(seed, graft=True).program()
