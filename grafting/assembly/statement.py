"""One statement of assembly: from tokens to instruction slots. Each grammar rule stands above the method that reads it.

    w6 s>>= 3      ->   Instruction(0xc4, dst=6, src=0, offset=0, imm=3)
    goto done      ->   a `Draft`, whose distance `grafting.assembly.assembler` fills in when all labels are known

Nothing here looks past the statement's own tokens, and no method recurses, so time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from grafting import isa, limits
from grafting.diagnostics import Diagnostic, Source, Span, fail
from grafting.isa import Alu, AtomicOp, Condition, Imm, Instruction, Operand, Reg, Swap

_TOKEN = re.compile(
    r"(?P<space>[ \t\r]+)|(?P<comment>#.*|//.*)|(?P<number>(?:0x[0-9a-fA-F]+|[0-9]+)\b)"
    r"|(?P<mark>s>>=|s>>|s>=|s<=|s/=|s%=|s>|s<|<<=|>>=|<<|>>|[-+*/%|&^!=<>]=|[-+*/&=<>():;,])"
    r"|(?P<name>[A-Za-z_.$][A-Za-z0-9_.$]*)"
)
_REGISTER = re.compile(r"([rw])([0-9]{1,3})\Z")
_MEMORY_TYPE = re.compile(r"([us])(8|16|32|64)\Z")
_SWAP = re.compile(r"(le|be|bswap)(16|32|64)\Z")
_EXCHANGE = re.compile(r"(xchg_64|xchg32_32|cmpxchg_64|cmpxchg32_32)\Z")

_ALU_CODE = {op: code for code, op in isa.ALU_CODES.items()}
_JUMP_CODE = {condition: code for code, condition in isa.JUMP_CODES.items()}
_ASSIGNMENTS = {f"{op.value}=": op for op in Alu if op is not Alu.NEG} | {"=": Alu.MOV}
_CONDITIONS = {condition.value: condition for condition in Condition}
_LOCKED = {"+=": AtomicOp.ADD, "|=": AtomicOp.OR, "&=": AtomicOp.AND, "^=": AtomicOp.XOR}
_FETCHED = {
    f"atomic_fetch_{op.name.lower()}": op for op in (AtomicOp.ADD, AtomicOp.OR, AtomicOp.AND, AtomicOp.XOR)
}  # fmt: skip

_NUMBER_CHARACTERS = 64  # longer ones fit no field, and int() refuses those over 4300 digits
I16 = range(-(1 << 15), 1 << 15)
_I32 = range(-(1 << 31), 1 << 31)
_EITHER32 = range(-(1 << 31), 1 << 32)  # where only 32 bits matter, both readings of them are accepted


def _signed(value: int) -> int:
    """Return a number of 32 bits as the signed one that a field holds."""
    return value if value in _I32 else value - (1 << 32)


@dataclass(frozen=True, slots=True)
class Token:
    """A lexeme; `kind` is a group of `_TOKEN`, or "end"."""

    kind: str
    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class _Register:
    """A register as written: `bits` is 32 for w0, 64 for r0."""

    number: int
    bits: int


@dataclass(frozen=True, slots=True)
class Draft:
    """An assembled statement; `label` names the target whose distance goes into field `field` of the first slot."""

    slots: tuple[Instruction, ...]
    label: Token | None = None
    field: str = ""


def statements(source: Source, errors: list[Diagnostic]) -> Iterator[list[Token]]:
    """Yield the tokens of each statement, an "end" token last; lines with a foreign character go to `errors`.

    Ends early when `errors` are as many as will be shown.
    """
    start = 0
    for number, line in enumerate(source.text.split("\n"), 1):
        if len(errors) >= limits.DIAGNOSTICS_MAX:
            return
        tokens: list[Token] = []
        column = 0
        while column < len(line):
            match = _TOKEN.match(line, column)
            span = Span(number, column + 1, start + column, start + (match.end() if match else column + 1))
            if match is None:
                errors.extend(fail("G0561", f"unexpected character {line[column]!r}", span, source=source).diagnostics)
                tokens.clear()
                break
            column = match.end()
            kind = match.lastgroup or ""
            if match.group() == ";":
                yield [*tokens, Token("end", "", span)]
                tokens.clear()
            elif kind not in ("space", "comment"):
                tokens.append(Token(kind, match.group(), span))
        if tokens:
            end = Span(number, column + 1, start + column, start + column)
            yield [*tokens, Token("end", "", end)]
        start += len(line) + 1


# labels: (NAME ":")*
def split_labels(tokens: list[Token], source: Source) -> tuple[list[Token], list[Token]]:
    """Return the labels before a statement, and the tokens after them. Raises GraftError G0561."""
    at = 0
    while tokens[at].kind == "name" and tokens[at + 1].text == ":":
        at += 2
    labels = tokens[:at:2]
    for label in labels:
        if _REGISTER.match(label.text):
            raise fail("G0561", "a label cannot have the name of a register", label.span, source=source)
    return labels, tokens[at:]


def instruction(tokens: list[Token], source: Source) -> Draft:
    """Return the instruction that `tokens` (without labels, an "end" last) write.

    Raises GraftError: G0561 syntax, G0563 a number that does not fit, G0564 not supported.
    """
    return _Statement(tokens, source).instruction()


class _Statement:
    """A recursive-descent parser of one statement; each rule stands above the method that reads it."""

    def __init__(self, tokens: list[Token], source: Source) -> None:
        self.tokens, self.source, self.at = tokens, source, 0

    # --- tokens ---

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    @property
    def at_end(self) -> bool:
        return self.token.kind == "end"

    def error(self, message: str, token: Token | None = None, *, code: str = "G0561") -> NoReturn:
        raise fail(code, message, (token or self.token).span, source=self.source)

    def take(self) -> Token:
        token = self.token
        if token.kind != "end":
            self.at += 1
        return token

    def accept(self, *texts: str) -> bool:
        """Take the given tokens if all of them come next."""
        following = [token.text for token in self.tokens[self.at : self.at + len(texts)]]
        if following != list(texts):
            return False
        self.at += len(texts)
        return True

    def expect(self, *texts: str) -> None:
        for text in texts:
            if not self.accept(text):
                found = "the end of the line" if self.at_end else f"`{self.token.text}`"
                self.error(f"expected `{text}`, found {found}")

    def finish(self, *slots: Instruction, label: Token | None = None, field: str = "") -> Draft:
        if not self.at_end:
            self.error(f"unexpected `{self.token.text}` after the instruction")
        return Draft(slots, label, field)

    # --- pieces ---

    def peek_register(self) -> bool:
        return self.token.kind == "name" and _REGISTER.match(self.token.text) is not None

    # register: r0 .. r10 | w0 .. w10
    def register(self, bits: int | None = None) -> _Register:
        token = self.take()
        match = _REGISTER.match(token.text) if token.kind == "name" else None
        if match is None:
            self.error("expected a register", token)
        number = int(match[2])
        if number >= isa.REGISTERS:
            self.error(f"register {token.text} does not exist", token)
        register = _Register(number, 64 if match[1] == "r" else 32)
        if bits is not None and register.bits != bits:
            self.error(f"expected {'rw'[bits == 32]}{number}, a {bits}-bit register, as the other operand is", token)
        return register

    # number: ["-"] (DECIMAL | HEX)
    def number(self, allowed: range, what: str) -> int:
        first = self.token
        negative = self.accept("-")
        token = self.take()
        if token.kind != "number":
            self.error(f"expected {what}", token)
        if len(token.text) > _NUMBER_CHARACTERS:
            self.error(f"{what} of {len(token.text)} digits", token, code="G0563")
        value = int(token.text, 0) if token.text.startswith("0x") else int(token.text)
        value = -value if negative else value
        if value not in allowed:
            raise fail(
                "G0563",
                f"{what} {value} does not fit: {allowed.start} .. {allowed.stop - 1}",
                first.span.to(token.span),
                source=self.source,
            )
        return value

    def immediate(self, bits: int) -> int:
        return _signed(self.number(_EITHER32 if bits == 32 else _I32, "immediate"))

    # operand: register | number
    def operand(self, bits: int) -> Operand:
        if self.peek_register():
            return Reg(self.register(bits).number)
        return Imm(self.immediate(bits))

    # memory type: ("u" | "s") ("8" | "16" | "32" | "64") "*"
    def memory_type(self) -> tuple[int, bool]:
        token = self.take()
        match = _MEMORY_TYPE.match(token.text)
        if match is None:
            self.error("expected a type: u8, u16, u32, u64, s8, s16 or s32", token)
        self.expect("*")
        return int(match[2]) // 8, match[1] == "s"

    # address: register [("+" | "-") number]
    def address(self) -> tuple[int, int]:
        base = self.register(64).number
        if self.accept("+"):
            return base, self.number(I16, "offset")
        if self.token.text == "-":
            return base, self.number(I16, "offset")
        return base, 0

    # cell: "*" "(" type "*" ")" "(" address ")"
    def cell(self) -> tuple[int, bool, int, int]:
        self.expect("*", "(")
        size, signed = self.memory_type()
        self.expect(")", "(")
        base, offset = self.address()
        self.expect(")")
        return size, signed, base, offset

    # target: ("+" | "-") number | NAME
    def target(self, distances: range) -> int | Token:
        if self.token.kind == "name":
            return self.take()
        if not (self.accept("+") or self.token.text == "-"):
            self.error("expected a label or a distance such as +3")
        return self.number(distances, "distance")

    # --- statements ---

    def instruction(self) -> Draft:
        token = self.token
        if self.peek_register():
            return self.assignment()
        if token.text == "*":
            return self.store()
        rules: dict[str, Callable[[], Draft]] = {
            "lock": self.locked, "if": self.branch, "goto": self.goto, "gotol": self.goto, "call": self.call,
            "callx": self.callx, "exit": self.exit,
        }  # fmt: skip
        if token.text not in rules:
            self.error(f"no instruction begins with `{token.text}`")
        return rules[token.text]()

    # exit: "exit"
    def exit(self) -> Draft:
        self.take()
        return self.finish(Instruction(isa.EXIT, 0, 0, 0, 0))

    def callx(self) -> Draft:
        self.error("calls through a register (`callx`) are not supported: their target is unknown", code="G0564")

    # call: "call" (number | NAME | ("+" | "-") number)
    def call(self) -> Draft:
        self.take()
        if self.token.kind == "number":
            number = self.number(_EITHER32, "helper number")
            return self.finish(Instruction(isa.CALL, 0, isa.CALL_HELPER, 0, _signed(number)))
        if self.peek_register():
            return self.callx()
        target = self.target(_I32)
        if isinstance(target, Token):
            return self.finish(Instruction(isa.CALL, 0, isa.CALL_LOCAL, 0, 0), label=target, field="imm")
        return self.finish(Instruction(isa.CALL, 0, isa.CALL_LOCAL, 0, target))

    # goto: ("goto" | "gotol") target
    def goto(self) -> Draft:
        opcode, field, distances = (
            (isa.JA32, "imm", _I32) if self.take().text == "gotol" else (isa.JA, "offset", I16)
        )  # fmt: skip
        target = self.target(distances)
        draft = Instruction(opcode, 0, 0, 0, 0)
        if isinstance(target, Token):
            return self.finish(draft, label=target, field=field)
        return self.finish(
            Instruction(opcode, 0, 0, target, 0) if field == "offset" else Instruction(opcode, 0, 0, 0, target)
        )

    # branch: "if" register condition operand "goto" target
    def branch(self) -> Draft:
        self.take()
        left = self.register()
        token = self.take()
        if token.text not in _CONDITIONS:
            self.error("expected a comparison: == != < <= > >= s< s<= s> s>= &", token)
        source = self.operand(left.bits)
        self.expect("goto")
        target = self.target(I16)
        opcode = _JUMP_CODE[_CONDITIONS[token.text]] | (isa.JMP if left.bits == 64 else isa.JMP32)
        if isinstance(target, Token):
            return self.finish(_with_source(opcode, left.number, 0, source), label=target, field="offset")
        return self.finish(_with_source(opcode, left.number, target, source))

    # store: cell "=" operand
    def store(self) -> Draft:
        token = self.token
        size, signed, base, offset = self.cell()
        if signed:
            self.error("a store has no sign: write u8, u16, u32 or u64", token)
        self.expect("=")
        code = isa.SIZE_OF_BYTES[size] | isa.MODE_MEM
        if self.peek_register():
            return self.finish(Instruction(code | isa.STX, base, self.stored_register(size), offset, 0))
        return self.finish(Instruction(code | isa.ST, base, 0, offset, self.immediate(64 if size == 8 else 32)))

    def stored_register(self, size: int) -> int:
        """Read the register of a load or store; both names of it are accepted below 64 bits, as LLVM prints w there."""
        token = self.token
        register = self.register()
        if size == 8 and register.bits == 32:
            self.error("a 64-bit access needs an r register", token)
        return register.number

    # locked: "lock" cell ("+=" | "|=" | "&=" | "^=") register
    def locked(self) -> Draft:
        self.take()
        token = self.token
        size, signed, base, offset = self.cell()
        self.atomic_size(size, signed, token)
        operator = self.take()
        if operator.text not in _LOCKED:
            self.error("expected += |= &= or ^=", operator)
        source = self.stored_register(size)
        return self.finish(_atomic(_LOCKED[operator.text].value, size, base, offset, source))

    def atomic_size(self, size: int, signed: bool, token: Token) -> None:
        if signed or size not in (4, 8):
            self.error("an atomic works on u32 or u64", token)

    # assignment: register assign-operator right-hand-side
    def assignment(self) -> Draft:
        dst = self.register()
        operator = self.take()
        if operator.text not in _ASSIGNMENTS:
            self.error("expected an assignment such as = += s>>=", operator)
        op = _ASSIGNMENTS[operator.text]
        if op is not Alu.MOV:
            return self.finish(_alu(op, dst, self.operand(dst.bits)))
        return self.moved(dst)

    # right-hand side of "=": cell | cast | "-" register | map | swap | fetch | exchange | operand | number "ll"
    def moved(self, dst: _Register) -> Draft:
        token, following = self.token, self.tokens[min(self.at + 1, len(self.tokens) - 1)]
        if token.text == "*":
            size, signed, base, offset = self.cell()
            if size == 8 and (signed or dst.bits == 32):
                self.error("a 64-bit load is written `r.. = *(u64 *)(..)`", token)
            mode = isa.MODE_MEMSX if signed else isa.MODE_MEM
            return self.finish(Instruction(isa.SIZE_OF_BYTES[size] | mode | isa.LDX, dst.number, base, offset, 0))
        if token.text == "(":
            return self.cast(dst)
        if token.text == "-" and following.kind == "name":
            self.take()
            self.same(dst)
            return self.finish(Instruction(_ALU_CODE[Alu.NEG] | _class(dst.bits), dst.number, 0, 0, 0))
        if token.text in ("map", "map_value"):
            return self.map(dst)
        if _SWAP.match(token.text):
            return self.swap(dst)
        if token.text in _FETCHED:
            return self.fetch(dst)
        if _EXCHANGE.match(token.text):
            return self.exchange(dst)
        if not self.peek_register() and self.tokens[-2].text == "ll":
            value = self.number(range(-(1 << 63), 1 << 64), "immediate")
            self.long(dst)
            return self.finish(*_lddw(dst.number, isa.LDDW_IMMEDIATE, value & isa.U32, value >> 32 & isa.U32))
        return self.finish(_alu(Alu.MOV, dst, self.operand(dst.bits)))

    def same(self, dst: _Register) -> None:
        token = self.token
        if self.register() != dst:
            self.error("this instruction works in place: both registers must be the same", token)

    def long(self, dst: _Register) -> None:
        token = self.token
        self.expect("ll")
        if dst.bits == 32:
            self.error("a 64-bit immediate needs an r register", token)

    # cast: "(" ("s8" | "s16" | "s32") ")" register
    def cast(self, dst: _Register) -> Draft:
        self.expect("(")
        token = self.take()
        match = _MEMORY_TYPE.match(token.text)
        if match is None or match[1] != "s" or int(match[2]) >= dst.bits:
            self.error(f"expected a signed type narrower than {dst.bits} bits", token)
        self.expect(")")
        src = self.register(dst.bits)
        opcode = _ALU_CODE[Alu.MOV] | isa.X | _class(dst.bits)
        return self.finish(Instruction(opcode, dst.number, src.number, int(match[2]), 0))

    # map: "map" number "ll" | "map_value" number ["+" number] "ll"
    def map(self, dst: _Register) -> Draft:
        is_value = self.take().text == "map_value"
        index = self.number(range(1 << 31), "map number")
        offset = 0
        if is_value and self.accept("+"):
            offset = self.number(range(1 << 32), "offset")
        self.long(dst)
        return self.finish(*_lddw(dst.number, isa.LDDW_MAP_VALUE if is_value else isa.LDDW_MAP, index, offset))

    # swap: ("le" | "be" | "bswap") ("16" | "32" | "64") register
    def swap(self, dst: _Register) -> Draft:
        match = _SWAP.match(self.take().text)
        assert match is not None
        self.same(dst)
        if dst.bits == 32:
            self.error("a byte swap is written with r registers", self.tokens[0])
        match Swap(match[1]):
            case Swap.LE:
                opcode = isa.ALU_END | isa.ALU32
            case Swap.BE:
                opcode = isa.ALU_END | isa.ALU32 | isa.X
            case Swap.BSWAP:
                opcode = isa.ALU_END | isa.ALU64
        return self.finish(Instruction(opcode, dst.number, 0, 0, int(match[2])))

    # fetch: "atomic_fetch_add" "(" "(" type "*" ")" "(" address ")" "," register ")"
    def fetch(self, dst: _Register) -> Draft:
        op = _FETCHED[self.take().text]
        self.expect("(", "(")
        token = self.token
        size, signed = self.memory_type()
        self.atomic_size(size, signed, token)
        self.expect(")", "(")
        base, offset = self.address()
        self.expect(")", ",")
        self.sized(dst, size)
        self.same(dst)
        self.expect(")")
        return self.finish(_atomic(op.value | isa.FETCH, size, base, offset, dst.number))

    def sized(self, dst: _Register, size: int) -> None:
        if dst.bits != size * 8:
            self.error(f"a {size * 8}-bit atomic needs {'rw'[size == 4]} registers", self.tokens[0])

    # exchange: "xchg_64" "(" address "," register ")" | "cmpxchg_64" "(" address "," "r0" "," register ")"; w: .._32
    def exchange(self, dst: _Register) -> Draft:
        name = self.take().text
        size = 8 if name.endswith("_64") else 4
        self.sized(dst, size)
        self.expect("(")
        base, offset = self.address()
        self.expect(",")
        if name.startswith("xchg"):
            self.same(dst)
            self.expect(")")
            return self.finish(_atomic(AtomicOp.XCHG.value | isa.FETCH, size, base, offset, dst.number))
        if dst.number != 0:
            self.error("a compare-and-exchange compares with r0 and returns in it", self.tokens[0])
        self.same(dst)
        self.expect(",")
        source = self.register(dst.bits)
        self.expect(")")
        return self.finish(_atomic(AtomicOp.CMPXCHG.value | isa.FETCH, size, base, offset, source.number))


def _class(bits: int) -> int:
    return isa.ALU64 if bits == 64 else isa.ALU32


def _with_source(opcode: int, dst: int, offset: int, source: Operand) -> Instruction:
    match source:
        case Reg(number):
            return Instruction(opcode | isa.X, dst, number, offset, 0)
        case Imm(value):
            return Instruction(opcode | isa.K, dst, 0, offset, value)


def _alu(op: Alu, dst: _Register, source: Operand) -> Instruction:
    unsigned = {Alu.SDIV: Alu.DIV, Alu.SMOD: Alu.MOD}.get(op, op)
    return _with_source(_ALU_CODE[unsigned] | _class(dst.bits), dst.number, int(op is not unsigned), source)


def _lddw(dst: int, src: int, low: int, high: int) -> tuple[Instruction, Instruction]:
    return Instruction(isa.LDDW, dst, src, 0, _signed32(low)), Instruction(0, 0, 0, 0, _signed32(high))


def _signed32(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


def _atomic(imm: int, size: int, base: int, offset: int, src: int) -> Instruction:
    return Instruction(isa.SIZE_OF_BYTES[size] | isa.MODE_ATOMIC | isa.STX, base, src, offset, imm)
