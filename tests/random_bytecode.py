"""Random programs for the verifier: most keep the rules by a hair, some break one by a hair.

`raw_program(seed)` runs under `raw_context(192)`, `memory_program(seed)` under `raw_memory(64)`, `graft_program(seed)`
as a reply handler with maps 0 `wanted` (hash, u64 -> u64), 1 `table` (array of 4, u32 -> 16 bytes), 2 `.rodata` and 3
`.bss` (16 bytes each) and one slot. All are assembly text.

Every statement is safe as it is written down, whatever ran before it, unless `bold()` makes it one byte, one bit or
one step too bold. So what is accepted holds by a bound that is just enough, and what is rejected is nearly right. r6 to
r9 hold numbers throughout, r0 to r5 are scratch. The frame: 3, 8 or 17 slots of numbers below r10, four of addresses
from r10 - 288 on, the entry's r1 at r10 - 256.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

INTERESTING = (0, 1, 2, 3, 7, 8, 9, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 4095, 4096, 0x7FFFFFFF,
               -1, -2, -8, -64, -128, -0x80000000)  # fmt: skip
CONDITIONS = ("==", "!=", "<", "<=", ">", ">=", "s<", "s<=", "s>", "s>=", "&")
OPERATORS = ("+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=", "<<=", ">>=", "s>>=", "s/=", "s%=")
SIZES = ((1, 8), (1, 8), (2, 16), (4, 32), (8, 64))
NUMBERS = (6, 7, 8, 9)
NUMBER_BYTES = 136  # of the frame, below r10
ADDRESSES = (-264, -272, -280, -288)
ENTRY = -256  # where the frame keeps r1

RAW, MEMORY, GRAFT = "raw", "memory", "graft"
CONTEXT_BYTES, MEMORY_BYTES = 192, 64


class Generator:
    """Writes one program. `boldness`: how often a statement is too bold; chosen by the seed if it is not given."""

    def __init__(self, seed: int, kind: str, boldness: float | None = None) -> None:
        self.random = random.Random(f"{kind} {seed}")
        self.kind = kind
        self.lines: list[str] = []
        self.labels = 0
        self.functions: list[list[str]] = []
        self.budget = self.random.choice([2, 3, 4, 5, 6, 8, 12, 20])
        self.number_bytes = self.random.choice([24, 64, NUMBER_BYTES])  # of the frame that hold numbers from the start
        self.kept: set[int] = set()  # registers that statements here leave alone: the counters of loops around
        self.outermost = True
        chosen = self.random.choice([0.0, 0.05, 0.1, 0.2])
        self.boldness = chosen if boldness is None else boldness

    # --- building blocks ---------------------------------------------------------------------------------------------

    def emit(self, *lines: str) -> None:
        self.lines += lines

    def label(self) -> str:
        self.labels += 1
        return f"L{self.labels}"

    def bold(self) -> bool:
        return self.random.random() < self.boldness

    def number(self) -> str:
        return f"r{self.random.choice(NUMBERS)}"

    def target(self) -> str:
        """Return a register that may be changed."""
        free = [n for n in NUMBERS if n not in self.kept]
        return f"r{self.random.choice(free if free and not self.bold() else NUMBERS)}"

    def constant(self) -> int:
        value = self.random.choice(INTERESTING)
        return value if self.random.random() < 0.7 else self.random.randrange(-300, 300)

    def slot(self) -> int:
        return -8 * self.random.randrange(1, self.number_bytes // 8 + 1)

    @contextmanager
    def keeping(self, *registers: int) -> Iterator[None]:
        before = self.kept
        self.kept = before | set(registers)
        yield
        self.kept = before

    def index(self, register: str, source: str, top: int, size: int) -> None:
        """Put into `register` an index of `size` bytes below `top`, made from a number in one of many ways."""
        r = self.random
        most = top - size + (1 if self.bold() else 0)
        masks = [m for m in (0, 1, 3, 7, 15, 31, 63, 127, 56, 24, 60, 112) if m <= most]
        narrow = f"w{register[1:]}"
        out = self.label()
        way = r.randrange(9)
        self.emit(f"{register} = {source}")
        if way <= 2:
            self.emit(f"{register} &= {r.choice(masks[-4:])}")
        elif way == 3:
            self.emit(f"{r.choice([register, narrow])} %= {most + 1}")
        elif way == 4:
            self.emit(f"if {register} <= {most} goto {out}", f"{register} = {r.randrange(most + 1)}", f"{out}:")
        elif way == 5:
            self.emit(f"{narrow} = {narrow}", f"if {narrow} < {most + 1} goto {out}", f"{register} = 0", f"{out}:")
        elif way == 6:
            bad = self.label()
            self.emit(f"if {register} s> {most} goto {bad}", f"if {register} s>= 0 goto {out}", f"{bad}:",
                      f"{register} = {most}", f"{out}:")  # fmt: skip
        elif way == 7:
            self.emit(
                f"{register} >>= {64 - most.bit_length() + (most & (most + 1) != 0)}" if most > 0 else f"{register} = 0"
            )
        else:
            bad = self.label()
            self.emit(f"{narrow} = (s8){narrow}", f"{narrow} s>>= {r.randrange(0, 3)}", f"if {narrow} s< 0 goto {bad}",
                      f"if {narrow} s<= {most} goto {out}", f"{bad}:", f"{register} = 0", f"{out}:")  # fmt: skip
        if size > 1 and not self.bold() and self.kind != MEMORY:
            self.emit(f"{register} &= {-size}")

    # --- programs and functions --------------------------------------------------------------------------------------

    def program(self) -> str:
        self.prologue()
        self.statements(self.budget, 0)
        self.epilogue()
        for function in self.functions:
            self.lines += function
        return "\n".join(self.lines) + "\n"

    def prologue(self) -> None:
        self.emit(f"*(u64 *)(r10 {ENTRY:+d}) = r1")
        if self.kind == GRAFT:
            self.emit("r6 = *(u64 *)(r1 + 16)", "r7 = *(u32 *)(r1 + 40)", "r8 = *(u64 *)(r1 + 24)", "r9 = 0")
        elif self.kind == MEMORY:
            self.emit("r6 = *(u32 *)(r1 + 0)", "r7 = *(u64 *)(r1 + 5)", f"r8 = {self.constant()}", "r9 = r2")
        else:
            self.emit("r6 = *(u32 *)(r1 + 0)", "r7 = *(u32 *)(r1 + 8)", f"r8 = {self.constant()}", "r9 = 0")
            if self.random.random() < 0.3:
                self.emit("r8 = *(u64 *)(r1 + 16)")
        for slot in range(self.number_bytes // 8 - (1 if self.bold() else 0)):
            self.emit(f"*(u64 *)(r10 - {8 * (slot + 1)}) = {self.number()}")

    def epilogue(self) -> None:
        if self.kind == GRAFT:
            self.emit(self.random.choice(["r0 = 0", "r0 = 1", "r0 = r7\nr0 &= 1", "r0 = r9\nr0 %= 2"]), "exit")
        else:
            self.emit(f"r0 = {self.number()}", "exit")

    def statements(self, count: int, depth: int) -> None:
        kinds = [self.alu] * 4 + [self.narrow] * 2 + [self.access] * 3 + [self.branch] * 2 + [self.loop] * 2
        kinds += [self.spill, self.atomic, self.address]
        kinds += [self.call] if self.outermost and len(self.functions) < 3 else []
        if self.outermost and self.kind == GRAFT:
            kinds += [self.body, self.body, self.checked_end, self.map, self.map, self.joined, self.data, self.send]
            kinds += [self.memory_helper, self.plain_helper]
        elif self.outermost:
            kinds += [self.entry_memory, self.entry_memory]
        for _ in range(count):
            if self.budget <= 0:
                return
            self.budget -= 1
            kind = self.random.choice(kinds)
            if depth >= 3 and kind in (self.branch, self.loop):
                kind = self.alu
            kind(depth)

    def call(self, depth: int) -> None:
        """Call a new function: numbers in, a number out; now and then an address goes in, and comes out."""
        r = self.random
        name = f"f{self.labels}x{len(self.functions)}"
        shape = r.randrange(4)
        body, self.lines = self.lines, []
        self.functions.append([])
        place = len(self.functions) - 1
        self.emit(f"{name}:", "r6 = r1", "r7 = r2", "r8 = 3", "r9 = 0")
        if shape == 0:  # writes and reads through the caller's address
            self.emit("*(u64 *)(r3 - 16) = r6", "r7 = *(u32 *)(r3 - 8)", *(["r0 = r3", "r0 += -8"]), "exit")
        else:
            slots = r.choice([2, 9])
            for slot in range(slots):
                self.emit(f"*(u64 *)(r10 - {8 * (slot + 1)}) = r{r.choice([6, 7])}")
            outermost, kept, self.outermost, self.kept = self.outermost, self.kept, False, set()
            for _ in range(r.randrange(1, 4)):
                r.choice([self.alu, self.alu, self.narrow, self.branch if depth < 3 else self.alu])(2)
            top = 8 * slots
            self.index("r2", self.number(), top, 1)
            self.emit("r3 = r10", f"r3 += {-top}", "r3 += r2", f"*(u8 *)(r3 + 0) = {self.number()}",
                      f"r0 = *(u8 *)(r10 - {r.randrange(1, top + 1)})", f"r0 += {self.number()}")  # fmt: skip
            self.outermost, self.kept = outermost, kept
            self.emit("exit")
        self.functions[place], self.lines = self.lines, body
        self.emit(f"r1 = {self.number()}", f"r2 = {self.number()}", "r3 = r10", f"call {name}")
        self.emit(f"{self.target()} = *(u64 *)(r0 + 0)" if shape == 0 else f"{self.target()} = r0")

    # --- numbers -----------------------------------------------------------------------------------------------------

    def alu(self, depth: int) -> None:
        r = self.random
        number = self.target()[1:]
        width = r.choice(["r", "r", "w"])
        dst = width + number
        if r.random() < 0.15:
            self.emit(r.choice([f"{dst} = -{dst}", f"r{number} = be16 r{number}", f"{dst} = (s8){dst}",
                                f"r{number} = bswap32 r{number}", f"r{number} = (s32)r{number}",
                                f"{dst} = (s16){dst}", f"r{number} = le32 r{number}", f"r{number} = be64 r{number}",
                                f"r{number} = {r.getrandbits(64):#x} ll"]))  # fmt: skip
            return
        operator = "=" if r.random() < 0.2 else r.choice(OPERATORS)
        source = width + self.number()[1:] if r.random() < 0.5 else str(self.constant())
        if operator in ("<<=", ">>=", "s>>=") and not source.startswith(width):
            source = str(r.randrange(0, 64 if width == "r" else 32))
        if operator in ("/=", "%=", "s/=", "s%=") and source == "0":
            source = "3"
        self.emit(f"{dst} {operator} {source}")

    def narrow(self, depth: int) -> None:
        r, dst, label = self.random, self.target(), self.label()
        limit = r.choice((1, 7, 8, 15, 31, 56, 63, 64, 127))
        self.emit(
            r.choice([
                f"{dst} &= {limit}", f"{dst} %= {limit}", f"{dst} >>= {r.randrange(50, 64)}",
                f"if {dst} < {limit} goto {label}\n{dst} = 0\n{label}:",
                f"if w{dst[1:]} <= {limit} goto {label}\n{dst} = 3\n{label}:",
                f"if {dst} s> {limit} goto +1\nif {dst} s>= 0 goto {label}\n{dst} = 1\n{label}:",
                f"if {dst} != {limit} goto {label}\n{dst} = {limit}\n{label}:",
                f"if {dst} & {limit} goto {label}\n{dst} = {limit}\n{label}:",
                f"r3 = {dst}\nr3 += 1\nif r3 s> {limit} goto +1\nif r3 s>= 0 goto {label}\n{dst} = 1\n{label}:",
            ])
        )  # fmt: skip

    # --- the frame ---------------------------------------------------------------------------------------------------

    def access(self, depth: int) -> None:
        r = self.random
        size, bits = r.choice(SIZES)
        top = (
            r.choice([t for t in (8, 16, 24, 32, 40, 64, 128, 136) if t <= self.number_bytes]) if self.outermost else 16
        )
        if r.random() < 0.3:
            at = -r.randrange(1, top // 8 + 1) * 8 + r.choice(range(0, 8, size))
            at += size if self.bold() else 0
            self.emit(f"r3 = *(u{bits} *)(r10 {at:+d})" if r.random() < 0.5 else
                      f"*(u{bits} *)(r10 {at:+d}) = {self.number()}")  # fmt: skip
            return
        self.index("r2", self.number(), top, size)
        ahead = r.choice([0, 0, size])  # the offset that the instruction adds back
        if self.kind == MEMORY:
            self.emit(f"r2 &= {-size}")  # Linux demands alignment of the stack
        self.emit("r3 = r10", f"r3 += {-top - ahead}", "r3 += r2")
        if r.random() < 0.6:
            self.emit(f"*(u{bits} *)(r3 {ahead:+d}) = {self.number()}")
        else:
            signed = "s" if r.random() < 0.2 and size < 8 else "u"
            self.emit(f"r4 = *({signed}{bits} *)(r3 {ahead:+d})", f"{self.target()} = r4")

    def spill(self, depth: int) -> None:
        at = self.slot() if self.outermost else -8
        self.emit(
            self.random.choice([f"*(u64 *)(r10 {at:+d}) = {self.number()}", f"{self.target()} = *(u64 *)(r10 {at:+d})"])
        )

    def address(self, depth: int) -> None:
        """Spill an address, do something else, take it back and use it."""
        if not self.outermost:
            return self.alu(depth)
        r, place = self.random, self.random.choice(ADDRESSES)
        top = 8 * r.randrange(1, min(8, self.number_bytes // 8) + 1)
        self.emit("r2 = r10", f"r2 += {-top}", f"*(u64 *)(r10 {place:+d}) = r2")
        if self.bold():
            self.emit(f"*(u8 *)(r10 {place + r.randrange(8):+d}) = 0")
        self.alu(depth)
        self.emit(f"r3 = *(u64 *)(r10 {place:+d})")
        if r.random() < 0.3:
            out = self.label()
            self.emit("r4 = r10", f"r4 += {-8 * r.randrange(1, 9)}", f"if r3 {r.choice(CONDITIONS[:10])} r4 goto {out}",
                      f"*(u64 *)(r3 + 0) = {self.number()}", f"{out}:")  # fmt: skip
        else:
            self.index("r4", self.number(), top, 1)
            self.emit("r3 += r4", f"{self.target()} = *(u8 *)(r3 + 0)")

    def atomic(self, depth: int) -> None:
        r, at = self.random, self.slot() if self.outermost else -8
        self.emit(
            r.choice([
                f"lock *(u64 *)(r10 {at:+d}) {r.choice(['+=', '|=', '&=', '^='])} {self.number()}",
                f"r2 = {self.number()}\nr2 = atomic_fetch_{r.choice(['add', 'or', 'and', 'xor'])}"
                f"((u64 *)(r10 {at:+d}), r2)\n{self.target()} = r2",
                f"r2 = {self.number()}\nw2 = atomic_fetch_add((u32 *)(r10 {at + 4:+d}), w2)\n{self.target()} = r2",
                f"r2 = {self.number()}\nw2 = xchg32_32(r10 {at:+d}, w2)\n{self.target()} = r2",
                f"r2 = {self.number()}\nr2 = xchg_64(r10 {at:+d}, r2)\n{self.target()} = r2",
                f"r0 = {self.number()}\nr0 = cmpxchg_64(r10 {at:+d}, r0, {self.number()})\n{self.target()} = r0",
            ])
        )  # fmt: skip

    # --- control -----------------------------------------------------------------------------------------------------

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
        r = self.random
        counter = int(self.target()[1:])
        others = [n for n in NUMBERS if n != counter and n not in self.kept] or [n for n in NUMBERS if n != counter]
        shapes = [self.up, self.up, self.down, self.to_a_register, self.shrinking, self.on_the_stack, self.growing,
                  self.two_turns, self.searching, self.euclid, self.striding, self.striding, self.walking]  # fmt: skip
        r.choice(shapes)(counter, r.choice(others), depth)

    def inside(self, most: int, depth: int, *counters: int) -> None:
        with self.keeping(*counters):
            self.statements(self.random.randrange(0, most), depth + 1)

    def _counting(self, counter: int) -> tuple[str, int, int]:
        r = self.random
        return r.choice(["r", "r", "w"]) + str(counter), r.choice([1, 1, 1, 2, 3, 4, 8]), r.choice([1, 2, 3, 5, 8, 16])

    def up(self, counter: int, other: int, depth: int) -> None:
        head, r = self.label(), self.random
        name, step, count = self._counting(counter)
        limit = count * step + (1 if self.bold() else 0)
        self.emit(f"r{counter} = 0", f"{head}:")
        self.inside(3, depth, counter)
        self.emit(f"{name} += {step}", f"if {name} {r.choice(['<', '<=', 's<', '!='])} {limit} goto {head}")

    def down(self, counter: int, other: int, depth: int) -> None:
        head, out = self.label(), self.label()
        name, step, count = self._counting(counter)
        self.emit(f"r{counter} = {count * step + (1 if self.bold() else 0)}",
                  f"{head}: if {name} {self.random.choice(['==', 's<='])} 0 goto {out}")  # fmt: skip
        self.inside(3, depth, counter)
        self.emit(f"{name} -= {step}", f"goto {head}", f"{out}:")

    def to_a_register(self, counter: int, limit: int, depth: int) -> None:
        head, out, r = self.label(), self.label(), self.random
        name, step, _ = self._counting(counter)
        self.emit(f"r{counter} = 0", f"r{limit} &= {r.choice([3, 7, 31])}",
                  f"{head}: if {name} {r.choice(['>=', '>', 's>='])} {name[0]}{limit} goto {out}")  # fmt: skip
        self.inside(3, depth, counter, limit)
        self.emit(f"{name} += {step}", f"goto {head}", f"{out}:")

    def shrinking(self, counter: int, other: int, depth: int) -> None:
        head, out, r = self.label(), self.label(), self.random
        name = r.choice(["r", "r", "w"]) + str(counter)
        self.emit(f"{head}: if {name} == 0 goto {out}")
        self.inside(2, depth, counter)
        self.emit(r.choice([f"{name} >>= {r.randrange(1, 4)}", f"{name} /= {r.randrange(2, 9)}",
                            f"r5 = r{counter}\nr5 += -1\nr{counter} &= r5"]), f"goto {head}", f"{out}:")  # fmt: skip

    def on_the_stack(self, counter: int, other: int, depth: int) -> None:
        if not self.outermost:
            return self.alu(depth)
        head, out, count = self.label(), self.label(), self.random.choice([1, 3, 8])
        self.emit("r4 = 0", "*(u64 *)(r10 - 144) = r4", f"{head}: r4 = *(u64 *)(r10 - 144)",
                  f"if r4 >= {count} goto {out}", "r4 += 1", "*(u64 *)(r10 - 144) = r4")  # fmt: skip
        self.inside(3, depth)
        self.emit(f"goto {head}", f"{out}:")

    def growing(self, counter: int, other: int, depth: int) -> None:
        head, r = self.label(), self.random
        name, step, count = self._counting(counter)
        self.emit(f"r{counter} = 1", f"{head}:")
        self.inside(2, depth, counter)
        self.emit(f"{name} {r.choice(['<<= 1', '*= 3', f'+= {step}'])}", f"if {name} < {count} goto {head}")

    def two_turns(self, counter: int, other: int, depth: int) -> None:
        """Two ways around one head: one that sets the inner counter back, or two ends that meet."""
        head, out, skip, r = self.label(), self.label(), self.label(), self.random
        _, step, count = self._counting(counter)
        if r.random() < 0.5:
            self.emit(f"r{counter} = 0", f"r{other} = 0", f"{head}:")
            self.inside(2, depth, counter, other)
            self.emit(f"r{other} += 1", f"if r{other} < {count} goto {head}", f"r{other} = 0",
                      f"r{counter} += {step}", f"if r{counter} < {3 * step} goto {head}")  # fmt: skip
        else:
            self.emit(f"r{counter} = 0", f"r{other} &= 63", f"{head}: if r{counter} >= r{other} goto {out}")
            self.inside(2, depth, counter, other)
            self.emit(f"if {self.number()} {r.choice(CONDITIONS)} {self.constant()} goto {skip}",
                      f"r{counter} += 1", f"goto {head}", f"{skip}: r{other} -= {2 if self.bold() else 1}",
                      f"goto {head}", f"{out}:")  # fmt: skip

    def searching(self, counter: int, other: int, depth: int) -> None:
        head, out, up, r = self.label(), self.label(), self.label(), self.random
        self.emit(f"r{counter} = 0", f"r{other} = {r.choice([1, 2, 5, 64, 256])}",
                  f"{head}: if r{counter} >= r{other} goto {out}", f"r4 = r{counter}", f"r4 += r{other}", "r4 >>= 1",
                  f"if r4 {r.choice(['>', '<', 's>'])} {self.number()} goto {up}", "r4 += 1", f"r{counter} = r4",
                  f"goto {head}", f"{up}: r{other} = r4", f"goto {head}", f"{out}:")  # fmt: skip

    def striding(self, counter: int, other: int, depth: int) -> None:
        """Go by steps that differ from round to round, up or down, tested before or after."""
        head, out, r = self.label(), self.label(), self.random
        name, limit = r.choice(["r", "r", "w"]) + str(counter), r.choice([1, 7, 16, 100])
        step = [f"r4 = {self.number()}", f"r4 &= {r.choice([0, 1, 3, 7])}", f"r4 += {0 if self.bold() else 1}"]
        up = r.random() < 0.6
        test = f"{name} {r.choice(['>=', '>', 's>=']) if up else 's<='} {limit if up else 0} goto {out}"
        move = f"{name} {'+=' if up else '-='} {name[0]}4"
        self.emit(f"r{counter} = {0 if up else limit}")
        if r.random() < 0.5:
            self.emit(f"{head}: if {test}")
            self.inside(3, depth, counter)
            self.emit(*step, move, f"goto {head}", f"{out}:")
        else:
            self.emit(f"{head}:")
            self.inside(3, depth, counter)
            self.emit(*step, move, f"if {test}", f"goto {head}", f"{out}:")

    def walking(self, counter: int, other: int, depth: int) -> None:
        """Run an address along the frame, or with a number, to an end."""
        if not self.outermost or self.kept:
            return self.alu(depth)
        head, r = self.label(), self.random
        size, bits = r.choice(SIZES)
        top = self.number_bytes - self.number_bytes % size
        past = size if self.bold() else 0
        self.emit(f"r{counter} = 0", "r4 = r10", f"r4 += {-top}", "r5 = r10", f"r5 += {past}", f"{head}:")
        use = [f"r3 = *(u{bits} *)(r4 + 0)", f"*(u{bits} *)(r4 + 0) = r{counter}"]
        self.emit(*r.sample(use, r.randrange(1, 3)), f"r4 += {size}", f"r{counter} += 1")
        self.emit(r.choice([f"if r4 != r5 goto {head}", f"if r4 < r5 goto {head}",
                            f"if r{counter} < {top // size + (1 if past else 0)} goto {head}"]))  # fmt: skip

    def euclid(self, counter: int, other: int, depth: int) -> None:
        head, out, r = self.label(), self.label(), self.random
        self.emit(f"r{other} &= {r.choice([1, 7, 255])}", f"{head}: if r{other} == 0 goto {out}", f"r4 = r{counter}",
                  r.choice([f"r4 %= r{other}", f"w4 %= w{other}"]), f"r{counter} = r{other}", f"r{other} = r4",
                  f"goto {head}", f"{out}:")  # fmt: skip

    # --- the context, or the memory ----------------------------------------------------------------------------------

    def entry_memory(self, depth: int) -> None:
        r = self.random
        size, bits = r.choice(SIZES)
        whole = CONTEXT_BYTES if self.kind == RAW else MEMORY_BYTES
        at = r.choice([0, 8, 16, 40])
        self.emit(f"r1 = *(u64 *)(r10 {ENTRY:+d})")
        if r.random() < 0.7:
            self.index("r5", self.number(), whole - at, size)
            self.emit("r1 += r5")
        elif self.bold():
            at = whole - size + 1
        if self.kind == MEMORY and r.random() < 0.4:
            self.emit(f"*(u{bits} *)(r1 {at:+d}) = {self.number()}")
        else:
            self.emit(f"r5 = *(u{bits} *)(r1 {at:+d})", f"{self.target()} = r5")

    # --- the body ----------------------------------------------------------------------------------------------------

    def edges(self) -> None:
        """Load the body's edges: r2 its start, r3 its end."""
        self.emit(f"r1 = *(u64 *)(r10 {ENTRY:+d})", "r2 = *(u64 *)(r1 + 0)", "r3 = *(u64 *)(r1 + 8)")

    def body(self, depth: int) -> None:
        r, out = self.random, self.label()
        size, bits = r.choice(SIZES)
        at, ahead = r.choice([0, 8, 16, 64]), r.choice([0, 0, 8, 16])
        self.edges()
        if r.random() < 0.6:
            self.index("r5", self.number(), r.choice([8, 64, 4096]), size)
            self.emit("r2 += r5")
        self.emit("r4 = r2", f"r4 += {at + ahead + size - (1 if self.bold() else 0)}")
        self.emit(r.choice([f"if r4 > r3 goto {out}", f"if r3 < r4 goto {out}", f"if r4 >= r3 goto {out}",
                            f"if r3 <= r4 goto {out}"]))  # fmt: skip
        self.emit(f"r5 = *(u{bits} *)(r2 + {at})", f"{self.target()} = r5", f"{out}:")
        if r.random() < 0.2:
            self.emit("r3 -= r2", f"{self.target()} = r3")

    def checked_end(self, depth: int) -> None:
        """Check the other way round: through a spilled copy, by the length, or with the access where the jump goes."""
        r, inside, out = self.random, self.label(), self.label()
        size, bits = r.choice(SIZES)
        need = 8 * r.randrange(1, 5)
        short = need - (1 if self.bold() else 0)
        self.edges()
        shape = r.randrange(3)
        if shape == 0:
            self.emit("*(u64 *)(r10 - 264) = r2", f"r2 += {short}", f"if r2 <= r3 goto {inside}", f"goto {out}",
                      f"{inside}: r4 = *(u64 *)(r10 - 264)")  # fmt: skip
        elif shape == 1:
            self.emit("r4 = r3", "r4 -= r2", f"if r4 < {short} goto {out}", "r4 = r2")
        else:
            self.emit("r4 = r3", f"r4 += {-short}", f"if r4 < r2 goto {out}", "r4 = r2")
        if r.random() < 0.5:
            self.index("r5", self.number(), need, size)
            self.emit("r4 += r5", f"r5 = *(u{bits} *)(r4 + 0)")
        else:
            self.emit(f"r5 = *(u{bits} *)(r4 + {need - 8 + r.choice(range(0, 8, size))})")
        self.emit(f"{self.target()} = r5", f"{out}:")

    # --- maps and data -----------------------------------------------------------------------------------------------

    def map(self, depth: int) -> None:
        r, out = self.random, self.label()
        kind = r.randrange(3)
        self.emit(f"*(u64 *)(r10 - 128) = {self.number()}", "r2 = r10", "r2 += -128")
        if kind == 0:
            which = r.randrange(2)
            size, bits = r.choice(SIZES)
            self.emit(f"r1 = map {which} ll", "call 1")
            copy = r.random() < 0.4
            self.emit(*(["r4 = r0"] if copy else []), *([] if self.bold() else [f"if r0 == 0 goto {out}"]))
            base = "r4" if copy else "r0"
            if r.random() < 0.5:
                self.index("r5", self.number(), 16 if which else 8, size)
                self.emit(f"{base} += r5")
            self.emit(f"r5 = *(u{bits} *)({base} + 0)", f"{self.target()} = r5")
            if r.random() < 0.5:
                self.emit(f"*(u{bits} *)({base} + 0) = {self.number()}")
            self.emit(f"{out}:")
        elif kind == 1:
            self.emit(f"*(u64 *)(r10 - 136) = {self.number()}", f"*(u64 *)(r10 - 128) = {self.number()}",
                      f"r1 = map {r.randrange(2)} ll", "r3 = r10", "r3 += -136", "r4 = 0", "call 2",
                      f"{self.target()} = r0")  # fmt: skip
        else:
            self.emit("r1 = map 0 ll", "call 3", f"{self.target()} = r0")

    def joined(self, depth: int) -> None:
        """Let one call serve two maps, or one load the values of two."""
        r, other, out = self.random, self.label(), self.label()
        size, bits = r.choice(SIZES)
        self.emit(f"*(u64 *)(r10 - 128) = {self.number()}")
        test = f"if {self.number()} {r.choice(CONDITIONS)} {self.constant()} goto {other}"
        if r.random() < 0.5:
            self.emit("r1 = map 0 ll", test, "r1 = map 1 ll", f"{other}: r2 = r10", "r2 += -128", "call 1")
        else:
            self.emit("r1 = map 0 ll", "r2 = r10", "r2 += -128", "call 1", test, "r1 = map 1 ll", "r2 = r10",
                      "r2 += -128", "call 1", f"{other}:")  # fmt: skip
        self.emit(*([] if self.bold() else [f"if r0 == 0 goto {out}"]))
        self.index("r5", self.number(), 8, size)
        self.emit("r0 += r5", f"r5 = *(u{bits} *)(r0 + 0)", f"*(u{bits} *)(r0 + 0) = r5", f"{self.target()} = r5")
        self.emit(f"{out}:")

    def data(self, depth: int) -> None:
        r = self.random
        size, bits = r.choice(SIZES)
        which = r.choice([2, 3])
        self.index("r5", self.number(), 16, size)
        self.emit(f"r4 = map_value {which} + 0 ll", "r4 += r5", f"r5 = *(u{bits} *)(r4 + 0)", f"{self.target()} = r5")
        if which == 3 or self.bold():
            self.emit(f"*(u{bits} *)(r4 + 0) = {self.number()}")

    # --- helpers -----------------------------------------------------------------------------------------------------

    def send(self, depth: int) -> None:
        self.emit(f"*(u64 *)(r10 - 144) = {self.number()}", f"r1 = {1 if self.bold() else 0}",
                  f"r2 = {1 if self.bold() else 0}", f"r3 = {self.number()}", "r4 = r10", "r4 += -144",
                  f"r5 = {16 if self.bold() else 8}", "call 1000", f"{self.target()} = r0")  # fmt: skip

    def memory_helper(self, depth: int) -> None:
        """Copy or fill a part of the frame whose length, or place, is not known."""
        if self.number_bytes < NUMBER_BYTES:
            return self.alu(depth)
        r, top = self.random, 8 * self.random.randrange(1, 9)
        self.index("r3", self.number(), top + 1, 1)
        self.emit("r1 = r10", f"r1 += {-top}")
        if r.random() < 0.5:
            self.emit("r2 = r10", f"r2 += {-64 - top}", "call 1008")
        else:
            self.emit(f"r2 = {self.number()}", "call 1009")
        self.emit(f"{self.target()} = *(u64 *)(r10 {-8 * r.randrange(1, 9):+d})")

    def plain_helper(self, depth: int) -> None:
        number, count = self.random.choice([(5, 0), (1004, 2), (1005, 1), (1006, 2), (1007, 2)])
        self.emit(*(f"r{at} = {self.number()}" for at in range(1, count + 1)), f"call {number}",
                  f"{self.target()} = r0")  # fmt: skip


def raw_program(seed: int) -> str:
    """Return a program for `raw_context(192)`."""
    return Generator(seed, RAW).program()


def memory_program(seed: int) -> str:
    """Return a program for `raw_memory(64)`."""
    return Generator(seed, MEMORY).program()


def graft_program(seed: int) -> str:
    """Return a reply handler of a graft; see the module for its maps and its slot."""
    return Generator(seed, GRAFT).program()
