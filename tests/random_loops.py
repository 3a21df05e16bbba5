"""Random nests of loops for the verifier's bounds: most end, many are triangular, some count wrongly.

`program(seed)` is assembly text for `raw_context(192)`. r6 and r7 are loaded from the context (u32 at 0 and 8, often
masked), counters take r0, r2 to r5, r8 and r9, r1 is scratch; the context's address is at r10 - 256.
"""

from __future__ import annotations

import random

CONDITIONS = ("<", "<=", ">", ">=", "s<", "s<=", "s>", "s>=", "==", "!=")
OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "s<": "s>=", "s<=": "s>", "s>": "s<=", "s>=": "s<",
            "==": "!=", "!=": "=="}  # fmt: skip


class Generator:
    """Writes one program. `counters`: those of the loops around, outermost first."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.functions: list[str] = []
        self.labels = 0
        self.budget = self.random.randrange(2, 7)  # loops
        self.free = ["0", "2", "3", "4", "5", "8", "9"]
        self.random.shuffle(self.free)
        self.counters: list[str] = []

    def program(self) -> str:
        r = self.random
        self.emit("*(u64 *)(r10 - 256) = r1", "r6 = *(u32 *)(r1 + 0)", "r7 = *(u32 *)(r1 + 8)")
        for register in "67":
            if r.random() < 0.9:
                self.emit(f"r{register} &= {r.choice((1, 3, 7, 15, 15, 31, 63))}")
        for register in ("0", "2", "3", "4", "5", "8", "9"):
            self.emit(f"r{register} = {r.randrange(0, 5)}")
        while self.budget > 0:
            self.loop(0)
        self.emit(f"r0 = r{r.choice('6789')}", "exit", *self.functions)
        return "\n".join(self.lines) + "\n"

    def emit(self, *lines: str) -> None:
        self.lines += lines

    def label(self) -> str:
        self.labels += 1
        return f"L{self.labels}"

    # --- loops ---------------------------------------------------------------------------------------------------

    def loop(self, depth: int) -> None:
        self.budget -= 1
        if self.budget < 0 or not self.free:
            return
        free = list(self.free)
        self.random.choice((self.counted, self.counted, self.counted, self.counted, self.counted, self.walked,
                            self.halved, self.met, self.digits))(depth)  # fmt: skip
        self.free = free

    def bound(self) -> str:
        """Return a number, or a register that stays the same or is a counter of a loop around."""
        r = self.random
        kinds = [str(r.choice((0, 1, 2, 3, 5, 8, 10, 16, 20, 33))), "r6", "r7"]
        kinds += [f"r{counter}" for counter in self.counters for _ in range(2)]
        kind = r.choice(kinds)
        if kind[0] == "r" and r.random() < 0.25 and self.free:
            copy = self.free[0]
            self.emit(f"r{copy} = {kind}", f"r{copy} {r.choice(('<<= 1', '+= 1', '+= 3', '>>= 1', '*= 3', '-= 1'))}")
            self.free.pop(0)
            return f"r{copy}"
        return kind

    def counted(self, depth: int) -> None:
        r = self.random
        limit = self.bound()
        if not self.free:
            return
        counter, head, out = self.free.pop(0), self.label(), self.label()
        up = r.random() < 0.65
        step = r.choice((1, 1, 1, 1, 2, 3, 4))
        condition = r.choice(("<", "<", "<=", "s<", "s<=", "!=", "!=") if up else (">", ">=", "s>", "s>=", "!=", "s>="))
        if r.random() < 0.04:
            condition = r.choice(CONDITIONS)
        width = r.choice("rrw")
        low = r.choice(("0", "0", "0", "1", "2", str(r.randrange(-4, 4)), self.bound() if r.random() < 0.4 else "0"))
        start, end = (low, limit) if up else (limit, low)
        end = end if end[0] != "r" else width + end[1:]
        self.emit(f"r{counter} = {start}")
        name = f"{width}{counter}"
        move = f"{name} {'+' if up else '-'}= {step}"
        spill = f"*(u64 *)(r10 - {8 * (depth + 1)})" if r.random() < 0.15 else ""
        if spill:
            self.emit(f"{spill} = r{counter}")
        rotated = r.random() < 0.5
        if rotated and r.random() < 0.7:
            self.emit(f"if {name} {OPPOSITE[condition]} {end} goto {out}")
        self.emit(f"{head}:")
        if spill:
            self.emit(f"r{counter} = {spill}")
        if not rotated:
            self.emit(f"if {name} {OPPOSITE[condition]} {end} goto {out}")
        early = rotated and r.random() < 0.2
        if early:
            self.emit(move)
        self.inside(counter, depth, out)
        if r.random() < 0.08:
            self.stepped_in_callee(counter, step if up else -step)
        elif not early:
            self.emit(move)
        if spill:
            self.emit(f"{spill} = r{counter}")
        self.emit(f"if {name} {condition} {end} goto {head}" if rotated else f"goto {head}", f"{out}:")

    def stepped_in_callee(self, counter: str, step: int) -> None:
        name = self.label()
        self.functions += [f"{name}:", "r0 = r1", f"r0 += {step}", "exit"]
        kept = [register for register in [*self.counters, counter] if register in "02345"]
        for place, register in enumerate(kept):
            self.emit(f"*(u64 *)(r10 - {128 + 8 * place}) = r{register}")
        self.emit(f"r1 = r{counter}", f"call {name}", "r1 = r0")
        for register in "02345":
            self.emit(f"r{register} = 1")
        for place, register in enumerate(kept):
            self.emit(f"r{register} = *(u64 *)(r10 - {128 + 8 * place})")
        self.emit(f"r{counter} = r1")

    def walked(self, depth: int) -> None:
        """A position that advances by what is read."""
        r = self.random
        counter, head, out = self.free.pop(0), self.label(), self.label()
        self.emit(f"r{counter} = 0", f"{head}: if r{counter} >= {r.choice((16, 40, 64))} goto {out}")
        self.inside(counter, depth, out)
        self.emit("r1 = *(u64 *)(r10 - 256)", f"r1 += r{counter}", f"r1 = *(u8 *)(r1 + {r.choice((0, 1, 16))})")
        self.emit(
            *r.choice((["r1 &= 7", "r1 += 1"], ["r1 |= 1"], [f"if r1 == 0 goto {out}"], ["r1 += 2"], ["r1 &= 3"]))
        )
        self.emit(f"r{counter} += r1", f"goto {head}", f"{out}:")

    def halved(self, depth: int) -> None:
        r = self.random
        counter, head, out = self.free.pop(0), self.label(), self.label()
        self.emit(f"r{counter} = {r.choice(('r6', 'r7', '1000', *(f'r{c}' for c in self.counters)))}", f"{head}:")
        self.emit(f"if r{counter} == 0 goto {out}")
        self.inside(counter, depth, out)
        if r.random() < 0.5:
            self.emit(f"r{counter} {r.choice(('>>= 1', '>>= 2', '/= 3', 's>>= 1'))}", f"goto {head}", f"{out}:")
        else:
            self.emit(f"r1 = r{counter}", "r1 += -1", f"r{counter} &= r1", f"goto {head}", f"{out}:")

    def met(self, depth: int) -> None:
        """Two ends that meet."""
        r = self.random
        if len(self.free) < 2:
            return
        low, high, head, out, other = self.free.pop(0), self.free.pop(0), self.label(), self.label(), self.label()
        self.emit(f"r{low} = 0", f"r{high} = {self.bound()}", f"{head}: if r{low} >= r{high} goto {out}")
        self.inside(low, depth, out)
        self.emit(f"if {r.choice(('r6', 'r7'))} & {r.choice((1, 2, 4))} goto {other}",
                  f"r{low} += {r.choice((1, 1, 2))}", f"goto {head}",
                  f"{other}: r{high} -= 1", f"goto {head}", f"{out}:")  # fmt: skip

    def digits(self, depth: int) -> None:
        """One loop that counts two digits."""
        r = self.random
        if len(self.free) < 2:
            return
        one, ten, head = self.free.pop(0), self.free.pop(0), self.label()
        self.emit(f"r{one} = 0", f"r{ten} = 0", f"{head}:", f"r{one} += 1")
        self.emit(f"if r{one} < {r.choice(('4', '7', 'r6', f'r{ten}'))} goto {head}", f"r{one} = 0", f"r{ten} += 1")
        self.emit(f"if r{ten} < {r.choice(('3', '6', 'r7'))} goto {head}")

    # --- bodies --------------------------------------------------------------------------------------------------

    def inside(self, counter: str, depth: int, out: str) -> None:
        r = self.random
        self.counters.append(counter)
        for _ in range(r.randrange(0, 3)):
            r.choice((self.fill, self.fill, self.dear, self.dear, self.leave, self.nested, self.nested))(depth, out)
        if depth < 2 and r.random() < 0.6:
            self.loop(depth + 1)
        if r.random() < 0.2:
            self.dear(depth, out)
        self.counters.pop()

    def nested(self, depth: int, out: str) -> None:
        if depth < 2:
            self.loop(depth + 1)

    def fill(self, depth: int, out: str) -> None:
        self.emit(*["r1 = 1"] * self.random.randrange(1, 4))

    def condition(self) -> str:
        r = self.random
        counter = r.choice(self.counters)
        if r.random() < 0.2:
            return f"r{counter} & {r.choice((1, 2, 3))}"
        return f"r{counter} {r.choice(CONDITIONS)} {r.choice(('0', '1', '2', '4', '7', '15', 'r6', 'r7'))}"

    def dear(self, depth: int, out: str) -> None:
        after = self.label()
        self.emit(f"if {self.condition()} goto {after}", *["r1 = 2"] * self.random.randrange(1, 9))
        if self.random.random() < 0.15:
            self.nested(depth, out)
        if self.random.random() < 0.06:
            self.emit(f"r{self.random.choice(self.counters)} {self.random.choice(('+= 1', '+= 2', '-= 1', '= 0'))}")
        self.emit(f"{after}:")

    def leave(self, depth: int, out: str) -> None:
        self.emit(f"if {self.condition()} goto {out}")


def program(seed: int) -> str:
    """Return a program for `raw_context(192)`."""
    return Generator(seed).program()
