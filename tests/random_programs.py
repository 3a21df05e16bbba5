"""Random well-typed grafts, and what they mean.

A program is a tree of the small classes below. Each can say itself in the language (`text`) and can be evaluated (`of`,
`run`) by Python's unbounded integers, with every conversion spelled out: an evaluator that shares nothing with the
compiler. A program reads two words of a request into locals of all widths, works on them, an array, a map and two
functions, and leaves every local in the state array `out`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import strategies as st

from grafting.types import BOOL, I8, I16, I32, I64, U8, U16, U32, U64, BoolType, IntType

Number = IntType
Kind = IntType | BoolType
NUMBERS = (U8, U16, U32, U64, I8, I16, I32, I64)
ARRAY = 5  # elements of the array `list`
STEPS = 20_000  # statements that one run may execute; programs that need more are not interesting


class TooLong(Exception):
    """The program runs longer than is worth waiting for."""


@dataclass
class Memory:
    """What a run works on."""

    locals: dict[str, int]
    list: list[int] = field(default_factory=lambda: [0] * ARRAY)
    map: dict[int, int] = field(default_factory=dict)
    calls: int = 0
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps > STEPS:
            raise TooLong


class Break(Exception):
    """`break`."""


class Continue(Exception):
    """`continue`."""


# --- expressions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Literal:
    value: int
    type: Kind

    def text(self) -> str:
        if isinstance(self.type, BoolType):
            return "true" if self.value else "false"
        return f"({self.value % 2**64} as {self.type})"

    def of(self, m: Memory) -> int:
        return self.value


@dataclass(frozen=True)
class Variable:
    name: str
    type: Kind

    def text(self) -> str:
        return self.name

    def of(self, m: Memory) -> int:
        return m.locals[self.name]


@dataclass(frozen=True)
class Element:
    index: Expr
    type: Kind = U64

    def text(self) -> str:
        return f"list[{self.index.text()} % {ARRAY}]"

    def of(self, m: Memory) -> int:
        return m.list[self.index.of(m) % ARRAY]


@dataclass(frozen=True)
class Unary:
    op: str
    operand: Expr
    type: Kind

    def text(self) -> str:
        return f"({self.op}{self.operand.text()})"

    def of(self, m: Memory) -> int:
        value = self.operand.of(m)
        if isinstance(self.type, BoolType):
            return 1 - value
        return self.type.wrap(-value if self.op == "-" else ~value)


@dataclass(frozen=True)
class Binary:
    op: str
    left: Expr
    right: Expr
    type: Kind

    def text(self) -> str:
        return f"({self.left.text()} {self.op} {self.right.text()})"

    def of(self, m: Memory) -> int:
        left = self.left.of(m)
        if self.op == "&&":
            return left and self.right.of(m)
        if self.op == "||":
            return left or self.right.of(m)
        return binary(self.op, left, self.right.of(m), self.type)


def binary(op: str, a: int, b: int, type_: Kind) -> int:
    """Return `a op b` as the language defines it; of comparisons, which have operands of any type, 0 or 1."""
    match op:
        case "==" | "!=" | "<" | "<=" | ">" | ">=":
            return int({"==": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op])
    assert isinstance(type_, IntType)
    match op:
        case "+":
            result = a + b
        case "-":
            result = a - b
        case "*":
            result = a * b
        case "/":
            result = 0 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        case "%":
            result = a if b == 0 else abs(a) % abs(b) * (-1 if a < 0 else 1)
        case "&":
            result = a & b
        case "|":
            result = a | b
        case "^":
            result = a ^ b
        case "<<":
            result = a << b % type_.bits
        case ">>":
            result = a >> b % type_.bits
        case _:
            raise AssertionError(op)
    return type_.wrap(result)


@dataclass(frozen=True)
class Cast:
    operand: Expr
    type: Kind

    def text(self) -> str:
        return f"({self.operand.text()} as {self.type})"

    def of(self, m: Memory) -> int:
        value = self.operand.of(m)
        return int(value != 0) if isinstance(self.type, BoolType) else self.type.wrap(value)


@dataclass(frozen=True)
class Call:
    """Of one of the two functions that every program has; both count their calls."""

    name: str
    first: Expr
    second: Expr
    type: Kind

    def text(self) -> str:
        return f"{self.name}({self.first.text()}, {self.second.text()})"

    def of(self, m: Memory) -> int:
        a, b = self.first.of(m), self.second.of(m)
        m.calls += 1
        if self.name == "within":
            return int(abs(a - b) < 100)
        while b and a > 1000:
            a, b = a // 3, b - 1
        return a ^ b


FUNCTIONS = """
fn within(a: i32, b: i32) -> bool {
    calls += 1
    let x = a as i64
    let y = b as i64
    if x > y { return x - y < 100 }
    return y - x < 100
}

fn reduce(a: u64, b: u64) -> u64 {
    calls += 1
    let mut x = a
    let mut y = b
    while y != 0 && x > 1000 limit 64 {
        x /= 3
        y -= 1
    }
    return x ^ y
}
"""

Expr = Literal | Variable | Element | Unary | Binary | Cast | Call

# --- statements ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Set:
    variable: Variable
    op: str
    value: Expr

    def lines(self) -> Iterator[str]:
        yield f"{self.variable.name} {self.op}= {self.value.text()}"

    def run(self, m: Memory) -> None:
        value = self.value.of(m)
        if self.op:
            value = binary(self.op, m.locals[self.variable.name], value, self.variable.type)
        m.locals[self.variable.name] = value


@dataclass(frozen=True)
class SetElement:
    index: Expr
    op: str
    value: Expr

    def lines(self) -> Iterator[str]:
        yield f"list[{self.index.text()} % {ARRAY}] {self.op}= {self.value.text()}"

    def run(self, m: Memory) -> None:
        index = self.index.of(m) % ARRAY
        value = self.value.of(m)
        m.list[index] = binary(self.op, m.list[index], value, U64) if self.op else value


@dataclass(frozen=True)
class ReadChecked:
    """A read by an index that may be out of range, with a default."""

    variable: Variable
    index: Expr
    default: Expr
    number: int

    def lines(self) -> Iterator[str]:
        yield f"let c{self.number} = list[{self.index.text()}] else {{ {self.default.text()} }}"
        yield f"{self.variable.name} = c{self.number}"

    def run(self, m: Memory) -> None:
        index = self.index.of(m)
        m.locals[self.variable.name] = m.list[index] if 0 <= index < ARRAY else self.default.of(m)


@dataclass(frozen=True)
class Store:
    key: Expr
    value: Expr

    def lines(self) -> Iterator[str]:
        yield f"map_[{self.key.text()}] = {self.value.text()} else {{ return drop }}"

    def run(self, m: Memory) -> None:
        key = self.key.of(m)
        m.map[key] = self.value.of(m)


@dataclass(frozen=True)
class Update:
    key: Expr
    op: str
    value: Expr
    otherwise: Variable

    def lines(self) -> Iterator[str]:
        yield f"map_[{self.key.text()}] {self.op}= {self.value.text()} else {{ {self.otherwise.name} = 99 }}"

    def run(self, m: Memory) -> None:
        key, value = self.key.of(m), self.value.of(m)
        if key in m.map:
            m.map[key] = binary(self.op, m.map[key], value, U16)
        else:
            m.locals[self.otherwise.name] = 99


@dataclass(frozen=True)
class Delete:
    key: Expr

    def lines(self) -> Iterator[str]:
        yield f"delete map_[{self.key.text()}]"

    def run(self, m: Memory) -> None:
        m.map.pop(self.key.of(m), None)


@dataclass(frozen=True)
class Leave:
    """`break` or `continue`, always under a condition: what follows is reachable."""

    word: str
    condition: Expr

    def lines(self) -> Iterator[str]:
        yield f"if {self.condition.text()} {{ {self.word} }}"

    def run(self, m: Memory) -> None:
        if self.condition.of(m):
            raise Break if self.word == "break" else Continue


Body = tuple["Stmt", ...]


@dataclass(frozen=True)
class If:
    condition: Expr
    then: Body
    otherwise: Body

    def lines(self) -> Iterator[str]:
        yield f"if {self.condition.text()} {{"
        yield from inner(self.then)
        yield "} else {"
        yield from inner(self.otherwise)
        yield "}"

    def run(self, m: Memory) -> None:
        execute(self.then if self.condition.of(m) else self.otherwise, m)


@dataclass(frozen=True)
class For:
    counter: Variable
    start: Expr
    end: Expr
    cap: int
    body: Body

    def lines(self) -> Iterator[str]:
        yield f"for {self.counter.name} in {self.start.text()}..{self.end.text()} max {self.cap} {{"
        yield from inner(self.body)
        yield "}"

    def run(self, m: Memory) -> None:
        i, end = self.start.of(m), self.end.of(m)
        while i < min(end, self.cap):
            m.locals[self.counter.name] = i
            try:
                execute(self.body, m)
            except Break:
                break
            except Continue:
                pass
            i += 1


@dataclass(frozen=True)
class While:
    condition: Expr
    limit: int
    body: Body

    def lines(self) -> Iterator[str]:
        yield f"while {self.condition.text()} limit {self.limit} {{"
        yield from inner(self.body)
        yield "}"

    def run(self, m: Memory) -> None:
        for _ in range(self.limit):
            if not self.condition.of(m):
                break
            try:
                execute(self.body, m)
            except Break:
                break
            except Continue:
                pass


@dataclass(frozen=True)
class Match:
    subject: Expr
    arms: tuple[tuple[int, int, Body], ...]
    rest: Body

    def lines(self) -> Iterator[str]:
        yield f"match {self.subject.text()} {{"
        for first, last, body in self.arms:
            yield f"    {first} => {{" if first == last else f"    {first}..={last} => {{"
            yield from inner(body)
            yield "    }"
        yield "    _ => {"
        yield from inner(self.rest)
        yield "    }"
        yield "}"

    def run(self, m: Memory) -> None:
        value = self.subject.of(m)
        execute(next((body for first, last, body in self.arms if first <= value <= last), self.rest), m)


Stmt = Set | SetElement | ReadChecked | Store | Update | Delete | Leave | If | For | While | Match


def inner(body: Body) -> Iterator[str]:
    return (f"    {line}" for stmt in body for line in stmt.lines())


def execute(body: Body, m: Memory) -> None:
    for stmt in body:
        m.step()
        stmt.run(m)


# --- programs --------------------------------------------------------------------------------------------------------

LOCALS = tuple(Variable(f"v{n}", type_) for n, type_ in enumerate((*NUMBERS, U64, U64, BOOL, I32)))
ARGUMENTS = (Variable("a", U64), Variable("b", U64))


def initial(variable: Variable) -> Expr:
    """Return what a local starts with: nothing that an optimiser knows."""
    word = ARGUMENTS[LOCALS.index(variable) % 2]
    return word if variable.type == U64 else Cast(word, variable.type)


@dataclass(frozen=True)
class RandomProgram:
    body: Body

    def text(self) -> str:
        lines = [
            "graft random", "protocol p { op run(a: u64, b: u64) }", "serve p", "map map_: hash<u32, u16, 512>",
            f"state out: [u64; {len(LOCALS)}]", f"state list: [u64; {ARRAY}]", "state calls: u64", FUNCTIONS,
            "on request(msg) for run(a, b) {",
            *(f"    let mut {v.name}: {v.type} = {initial(v).text()}" for v in LOCALS),
            *inner(self.body),
            *(f"    out[{n}] = {v.name}{'' if v.type == U64 else ' as u64'}" for n, v in enumerate(LOCALS)),
            "    return pass", "}",
        ]  # fmt: skip
        return "\n".join(lines) + "\n"

    def run(self, a: int, b: int) -> Memory:
        """Raises TooLong."""
        memory = Memory({"a": a, "b": b})
        memory.locals |= {v.name: initial(v).of(memory) for v in LOCALS}
        execute(self.body, memory)
        return memory


INTERESTING = sorted({0, 1, 2, 3, 7, 8, 31, 63, 64, 100, 127, 128, 255, 256, 2**15, 2**31 - 1, 2**31, 2**32, 2**63 - 1,
                      2**63, 2**64 - 1, 2**64 - 2})  # fmt: skip
words = st.sampled_from(INTERESTING) | st.integers(0, 2**64 - 1)

_ARITHMETIC = ("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>")
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


@st.composite
def expressions(draw: st.DrawFn, type_: Kind, scope: tuple[Variable, ...], depth: int) -> Expr:
    """Return an expression of `type_` over the variables in scope."""
    here = [v for v in scope if v.type == type_]
    leaves = ["literal"] + ["variable"] * 3 * bool(here)
    if depth <= 0:
        choice = draw(st.sampled_from(leaves))
    elif isinstance(type_, BoolType):
        choice = draw(st.sampled_from([*leaves, "compare", "compare", "logical", "not", "cast", "within"]))
    else:
        more = ["element", "reduce"] if type_ == U64 else []
        choice = draw(st.sampled_from([*leaves, "binary", "binary", "binary", "unary", "cast", *more]))

    def sub(of: Kind) -> Expr:
        return draw(expressions(of, scope, depth - 1))

    match choice:
        case "literal":
            value = draw(words)
            return Literal(value & 1 if isinstance(type_, BoolType) else type_.wrap(value), type_)
        case "variable":
            return draw(st.sampled_from(here))
        case "compare":
            of = draw(st.sampled_from(NUMBERS))
            return Binary(draw(st.sampled_from(_COMPARISONS)), sub(of), sub(of), BOOL)
        case "logical":
            return Binary(draw(st.sampled_from(("&&", "||"))), sub(BOOL), sub(BOOL), BOOL)
        case "not":
            return Unary("!", sub(BOOL), BOOL)
        case "binary":
            op = draw(st.sampled_from(_ARITHMETIC))
            right = draw(st.sampled_from((type_, U8))) if op in ("<<", ">>") else type_
            return Binary(op, sub(type_), sub(right), type_)
        case "unary":
            return Unary(draw(st.sampled_from("-~")), sub(type_), type_)
        case "cast":
            return Cast(sub(draw(st.sampled_from((*NUMBERS, BOOL)))), type_)
        case "element":
            return Element(sub(U64))
        case "within":
            return Call("within", sub(I32), sub(I32), BOOL)
        case _:
            return Call("reduce", sub(U64), Binary("%", sub(U64), Literal(64, U64), U64), U64)


def words_of(scope: tuple[Variable, ...]) -> list[Variable]:
    return [v for v in scope if v.type == U64]


@st.composite
def bodies(
    draw: st.DrawFn, scope: tuple[Variable, ...], depth: int, *, in_loop: bool, least: int = 1, most: int = 3
) -> Body:
    count = draw(st.integers(least, most))
    return tuple(draw(statements(scope, depth, in_loop=in_loop)) for _ in range(count))


@st.composite
def statements(draw: st.DrawFn, scope: tuple[Variable, ...], depth: int, *, in_loop: bool) -> Stmt:
    """Return a statement; compound ones only while `depth` is above 0."""
    kinds = ["set", "set", "set", "element", "checked", "store", "update", "delete"]
    kinds += ["leave"] * in_loop + ["if", "for", "while", "match"] * (depth > 0)

    def expr(of: Kind, levels: int = 2) -> Expr:
        return draw(expressions(of, scope, levels))

    def body(*, more: tuple[Variable, ...] = (), loop: bool = in_loop) -> Body:
        return draw(bodies((*scope, *more), depth - 1, in_loop=loop))

    def number(type_: Kind = U64) -> Variable:
        return draw(st.sampled_from([v for v in LOCALS if v.type == type_]))

    match draw(st.sampled_from(kinds)):
        case "set":
            variable = draw(st.sampled_from(LOCALS))
            op = "" if isinstance(variable.type, BoolType) else draw(st.sampled_from(("", "", *_ARITHMETIC)))
            return Set(variable, op, expr(variable.type, 3))
        case "element":
            return SetElement(expr(U64), draw(st.sampled_from(("", *_ARITHMETIC))), expr(U64))
        case "checked":
            index = draw(st.sampled_from((U64, I32, I8, U8)))
            return ReadChecked(number(), expr(index), expr(U64), draw(st.integers(0, 2**32)))
        case "store":
            return Store(expr(U32, 1), expr(U16))
        case "update":
            return Update(expr(U32, 1), draw(st.sampled_from(_ARITHMETIC)), expr(U16), number())
        case "delete":
            return Delete(expr(U32, 1))
        case "leave":
            return Leave(draw(st.sampled_from(("break", "continue"))), expr(BOOL))
        case "if":
            return If(expr(BOOL), body(), body())
        case "for":
            counter = Variable(f"i{depth}", U64)
            ends = [st.integers(0, 12).map(lambda n: Literal(n, U64)), st.sampled_from(words_of(scope))]
            start, end = draw(st.one_of(ends)), draw(st.one_of(ends))  # no computed constant: it may not overflow
            return For(counter, start, end, draw(st.integers(1, 12)), body(more=(counter,), loop=True))
        case "while":
            return While(expr(BOOL), draw(st.integers(1, 12)), body(loop=True))
        case _:
            return draw(matches(scope, body))


@st.composite
def matches(draw: st.DrawFn, scope: tuple[Variable, ...], body: object) -> Match:
    """Return a match whose arms do not overlap."""
    type_ = draw(st.sampled_from(NUMBERS))
    count = draw(st.integers(1, 3))
    bounds = draw(
        st.lists(st.integers(type_.minimum, type_.maximum), min_size=2 * count, max_size=2 * count, unique=True)
    )
    bounds.sort()
    if count == 1 and bounds == [type_.minimum, type_.maximum]:
        bounds[1] -= 1  # else nothing is left for the last arm
    arms = tuple((bounds[2 * n], bounds[2 * n + 1], body()) for n in range(count))  # type: ignore[operator]
    return Match(draw(expressions(type_, scope, 2)), arms, body())  # type: ignore[operator]


def programs() -> st.SearchStrategy[RandomProgram]:
    """Return grafts that compile and end."""
    return bodies((*LOCALS, *ARGUMENTS), 2, in_loop=False, least=3, most=8).map(RandomProgram)
