"""What was proved, as JSON: enough for an independent checker to follow the proof in one pass over the code.

`dumps(verified)` writes it; `loads(data)` reads it back, from whomever it came, into the same `HandlerProof`s, symbols
renamed. Reading one proves nothing: only `verify` makes a `Verified`.

    {"schema": 1, "program": NAME, "handlers": [{
        "name": "reply/disk.read", "event": "reply", "code": SHA-256 of the bytecode, "steps": 164, "bounds": COST,
        "symbols": [SYMBOL'S MEANING, ..],
        "blocks": [{"function": 0, "start": 0, "states": [STATE, ..], "remaining": COST}, ..],
        "loops":  [{"function": 0, "head": 12, "rounds": 31, "ranking": RANKING | null}, ..]}, ..]}

A block is named by its first pc, a function by its entry's. COST is `CostVector.as_dict()`. Every arrival at a block is
described by one of its STATEs, so a checker takes each through the block and looks for one that includes the result at
every successor; it sees the cost bounded by `remaining`, a potential (see `verifier.remaining`).

    STATE    {"registers": {"r1": VALUE, ..}, "frames": [{"stack": {"-8": VALUE | [[START, SIZE, VALUE], ..], ..},
              "saved": {"r6": VALUE, ..}}, ..], "length": WORDS, "reach": [[SYMBOL, BYTES], ..],
              "links": [[[SYMBOL, DELTA], AT, [SYMBOL, DELTA], AT, FACTOR], ..]}, see `state.Link`
    VALUE    {"number": WORDS, "is": [SYMBOL, DELTA]} | {"pointer": REGION, "offset": WORDS, "is": [SYMBOL, DELTA]}
             | {"maps": [MAP, ..]}, a map's handle | {"unusable": "clash" | "severed"}
    REGION   {"kind": "stack", "frame": 0} | {"kind": "value", "maps": [..], "origin": SYMBOL, if it may be null} | ..
    WORDS    17, one word | {"umax": 31, ..}, the fields of `scalar.Scalar` that differ from those of an unknown word
    RANKING  {"shape": NAME, "variables": [{"place": ["register", 0, 6, 0, 8], "start": [LEAST, MOST],
              "move": N | null}, ..]}, see `ranking.Reason`; null: followed round by round
    MEANING  null | {"operator": "add", "bits": 64, "a": [SYMBOL, DELTA], "b": [SYMBOL, DELTA]}
             | {"fixed": KIND, "index": N, "part": N}, something that cannot change, such as a context field

What is absent is not known: a register that is not listed was never set. Symbols 0 and 1 are the constant 0 and the
body's length, 2 is the first of `symbols`; in one state, equal symbols mean equal words. Their meanings let a checker
give what it computes again the name that the state has for it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, Final, TypeVar

from grafting import isa, limits
from grafting.costs import CostVector
from grafting.diagnostics import InternalError
from grafting.isa import Alu, CostClass
from grafting.objects.elf import Where
from grafting.objects.untrusted import Value as Json
from verifier.places import Place
from verifier.pointers import Kind, Region
from verifier.ranking import Reason, Variable
from verifier.scalar import UNKNOWN, Scalar, constant
from verifier.stack import SIZE, SLOT, Content, Piece, Pieces
from verifier.state import LINKS, REACHES, Frame, Link, State
from verifier.terms import LENGTH, ZERO, Terms
from verifier.values import Handle, Number, Pointer, Unusable, Value
from verifier.verify import HandlerProof, Verified

SCHEMA: Final = 1
_FIXED_SYMBOLS: Final = {ZERO: ZERO, LENGTH: LENGTH}
_WORDS: Final = tuple(field.name for field in fields(Scalar))
_SIGNED: Final = frozenset({"smin", "smax", "s32min", "s32max"})
_COUNTERS: Final = 64  # of one ranking; ours have three
_SAVED: Final = 6  # the first register that a caller gets back
_FIRST: Final = 2  # the first symbol that differs from proof to proof
_WORD: Final = (1 << 64) - 1
_COUNT: Final = (1 << 128) - 1  # of a cost: bounds are Python's integers, nested loops of u64 rounds multiply
_COUNTS: Final = ("instructions", "helper_calls", "sends", "bytes_sent", "map_operations", "stack_bytes")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,9})")

T = TypeVar("T")


def dumps(verified: Verified) -> bytes:
    """Return what was proved of a program, as UTF-8 JSON; the same program gives the same bytes."""
    program = verified.program
    handlers = [
        {
            "name": handler.name,
            "event": handler.event,
            "code": hashlib.sha256(isa.encode(handler.instructions)).hexdigest(),
            **_of_proof(canonical(verified.handlers[handler.name])),
        }
        for handler in program.handlers
    ]
    data = {"schema": SCHEMA, "program": program.name, "handlers": handlers}
    return json.dumps(data, separators=(",", ":")).encode()


def loads(data: bytes, *, filename: str = "receipt") -> dict[str, HandlerProof]:
    """Return the proofs that a receipt claims, by handler. Raises GraftError G0570: malformed, or too large."""
    top = Json.parse(data, Where(filename), "G0570", most=limits.RECEIPT_BYTES)
    top["schema"].number(SCHEMA, SCHEMA)
    found = {item["name"].label(): _to_proof(item) for item in top["handlers"].items(limits.PROGRAM_HANDLERS)}
    return found


# --- symbols ---------------------------------------------------------------------------------------------------------


def canonical(proof: HandlerProof) -> HandlerProof:
    """Return a proof with its symbols numbered in the order in which its states name them, operands first."""
    terms, names = Terms(), dict(_FIXED_SYMBOLS)

    def name(symbol: int) -> int:
        if symbol not in names:
            definition, fixed = proof.terms.definition(symbol), proof.terms.fixed(symbol)
            if definition is not None:
                a, b = ((name(side[0]), side[1]) for side in (definition.a, definition.b))
                names[symbol] = terms.apply(definition.operator, definition.is64, a, b, definition.kept)
            elif fixed is not None:
                names[symbol] = terms.named(*fixed)
            else:
                names[symbol] = terms.fresh()
        return names[symbol]

    def value(held: Value) -> Value:
        match held:
            case Number(scalar, symbol, delta):
                return Number(scalar, name(symbol), delta)
            case Pointer(region, scalar, symbol, delta):
                origin = name(region.origin) if region.nullable else 0
                return Pointer(region._replace(origin=origin), scalar, name(symbol), delta)
            case _:
                return held

    def content(held: Content) -> Content:
        if not isinstance(held, Pieces):
            return value(held)
        return Pieces(tuple(part._replace(value=value(part.value)) for part in held.parts))  # type: ignore[arg-type]

    def state(before: State) -> State:
        frames = tuple(
            Frame({slot: content(frame.stack[slot]) for slot in sorted(frame.stack)}, tuple(map(value, frame.saved)))
            for frame in before.frames
        )
        registers = tuple(map(value, before.registers))
        reach = tuple((name(symbol), bytes_) for symbol, bytes_ in before.reach)
        links = tuple(
            link._replace(a=(name(link.a[0]), link.a[1]), b=(name(link.b[0]), link.b[1])) for link in before.links
        )
        return State(registers, frames, before.length, reach, links=links)

    states = {key: tuple(map(state, proof.states[key])) for key in sorted(proof.states)}
    return replace(proof, states=states, terms=terms)


def _meanings(proof: HandlerProof) -> list[dict[str, Any] | None]:
    """Return what each symbol of a canonical proof means, from the first that may differ on."""
    last = max(
        (symbol for states in proof.states.values() for state in states for symbol in _symbols(state)), default=0
    )
    found: list[dict[str, Any] | None] = []
    for symbol in range(_FIRST, last + 1):
        definition, fixed = proof.terms.definition(symbol), proof.terms.fixed(symbol)
        if definition is not None:
            bits = 64 if definition.is64 else 32
            a, b = list(definition.a), list(definition.b)
            kept = {"kept": definition.kept} if definition.kept else {}
            found.append({"operator": definition.operator.name.lower(), "bits": bits, "a": a, "b": b, **kept})
        elif fixed is not None:
            found.append({"fixed": fixed[0], "index": fixed[1], "part": fixed[2]})
        else:
            found.append(None)
    return found


def _symbols(state: State) -> Iterator[int]:
    for value in values_of(state):
        if isinstance(value, Number | Pointer):
            yield value.symbol
        if isinstance(value, Pointer):
            yield value.region.origin
    yield from (symbol for symbol, _bytes in state.reach)
    yield from (side[0] for link in state.links for side in (link.a, link.b))


def values_of(state: State) -> Iterator[Value]:
    """Yield what every place of a state holds, in a fixed order."""
    yield from state.registers
    for frame in state.frames:
        yield from frame.saved
        for content in frame.stack.values():
            if isinstance(content, Pieces):
                yield from (part.value for part in content.parts)
            else:
                yield content


def _to_terms(meanings: Json) -> tuple[Terms, list[int]]:
    """Return the symbols that a receipt describes, and what each of its numbers is called here."""
    terms, names = Terms(), [ZERO, LENGTH]
    for item in meanings.items(limits.VERIFIER_STEPS):
        if item.content is None:
            names.append(terms.fresh())
        elif (fixed := item.get("fixed")) is not None:
            index, part = (item[key].number(0, _WORD) for key in ("index", "part"))
            names.append(terms.named(fixed.name(), index, part))
        else:
            operator = _choice(item["operator"], {op.name.lower(): op for op in Alu})
            bits = _choice(item["bits"], {32: 32, 64: 64})
            a, b = (_to_name(item[side], names) for side in ("a", "b"))
            kept = item.get("kept")
            names.append(terms.apply(operator, bits == 64, a, b, kept.number(0, 3) if kept is not None else 0))
    return terms, names


# --- a proof ---------------------------------------------------------------------------------------------------------


def _of_proof(proof: HandlerProof) -> dict[str, Any]:
    return {
        "steps": proof.steps,
        "bounds": proof.bounds.as_dict(),
        "symbols": _meanings(proof),
        "blocks": [
            {
                "function": function,
                "start": start,
                "states": [_of_state(state) for state in states],
                "remaining": proof.remaining[function, start].as_dict(),
            }
            for (function, start), states in proof.states.items()
        ],
        "loops": [
            {
                "function": function,
                "head": head,
                "rounds": rounds,
                "ranking": _of_ranking(proof.rankings.get((function, head))),
            }
            for (function, head), rounds in sorted(proof.rounds.items())
        ],
    }


def _to_proof(item: Json) -> HandlerProof:
    terms, names = _to_terms(item["symbols"])
    states, remaining = {}, {}
    for block in item["blocks"].items(limits.PROGRAM_SLOTS):
        key = _key(block, "start")
        states[key] = tuple(_to_state(state, names) for state in block["states"].items(limits.VERIFIER_STEPS))
        remaining[key] = _to_cost(block["remaining"])
    rounds, rankings = {}, {}
    for loop in item["loops"].items(limits.PROGRAM_SLOTS):
        key = _key(loop, "head")
        rounds[key] = loop["rounds"].number(0, _WORD)
        if (ranking := loop.get("ranking")) is not None:
            rankings[key] = _to_ranking(ranking, rounds[key])
    steps = item["steps"].number(0, _WORD)
    return HandlerProof(_to_cost(item["bounds"]), states, rounds, remaining, steps, terms, rankings)


def _of_ranking(reason: Reason | None) -> dict[str, Any] | None:
    if reason is None:
        return None
    return {
        "shape": reason.shape,
        "variables": [
            {"place": list(variable.place), "start": list(variable.start), "move": variable.least_move}
            for variable in reason.variables
        ],
    }


def _to_ranking(item: Json, rounds: int) -> Reason:
    variables = []
    for variable in item["variables"].items(_COUNTERS):
        kind, frame, part, start, size = variable["place"].exactly(5)
        place = Place(
            _choice(kind, {name: name for name in ("register", "saved", "stack")}),
            frame.number(0, limits.CALL_DEPTH - 1), part.number(0, SIZE),
            start.number(0, SLOT - 1), size.number(1, SLOT),
        )  # fmt: skip
        least, most = (end.number(0, _WORD) for end in variable["start"].exactly(2))
        move = variable.get("move")
        variables.append(Variable(place, (least, most), None if move is None else move.number(-_WORD, _WORD)))
    return Reason(item["shape"].label(), tuple(variables), rounds)


def _key(item: Json, place: str) -> tuple[int, int]:
    return item["function"].number(0, limits.PROGRAM_SLOTS - 1), item[place].number(0, limits.PROGRAM_SLOTS - 1)


def _to_cost(item: Json) -> CostVector:
    classes = {cost_class.name.lower(): cost_class for cost_class in CostClass}
    by_class = [0] * len(CostClass)
    for name, count in item["by_class"].fields():
        if name not in classes:
            raise count.error("not a class of instructions")
        by_class[classes[name]] = count.number(0, _COUNT)
    helpers = [(_decimal(number, count), count.number(0, _COUNT)) for number, count in item["helpers"].fields()]
    return CostVector(
        by_class=tuple(by_class), helpers=tuple(sorted(helpers)),
        **{name: item[name].number(0, _COUNT) for name in _COUNTS},
    )  # fmt: skip


# --- a state ---------------------------------------------------------------------------------------------------------


def _of_state(state: State) -> dict[str, Any]:
    return {
        "registers": _of_registers(state.registers, 0),
        "frames": [
            {
                "stack": {str(SLOT * slot - SIZE): _of_content(content) for slot, content in frame.stack.items()},
                "saved": _of_registers(frame.saved, _SAVED),
            }
            for frame in state.frames
        ],
        "length": _of_words(state.length),
        "reach": [list(item) for item in state.reach],
        "links": [[list(link.a), link.a0, list(link.b), link.b0, link.factor] for link in state.links],
    }


def _to_state(item: Json, names: list[int]) -> State:
    frames = []
    for depth, frame in enumerate(item["frames"].items(limits.CALL_DEPTH)):
        stack = {_slot(offset, content): _to_content(content, names) for offset, content in frame["stack"].fields()}
        frames.append(Frame(stack, _to_registers(frame["saved"], names, range(_SAVED, 10) if depth else range(0))))
    reach = []
    for pair in item["reach"].items(REACHES):
        symbol, bytes_ = pair.exactly(2)
        reach.append((_to_symbol(symbol, names), bytes_.number(-_WORD, _WORD)))
    links = []
    for link in item["links"].items(LINKS):
        a, a0, b, b0, factor = link.exactly(5)
        origins = a0.number(-_WORD, _WORD), b0.number(-_WORD, _WORD)
        links.append(Link(_to_name(a, names), origins[0], _to_name(b, names), origins[1], factor.number(-_WORD, _WORD)))
    registers = _to_registers(item["registers"], names, range(isa.REGISTERS))
    return State(registers, tuple(frames), _to_words(item["length"]), tuple(reach), links=tuple(links))


def _of_registers(registers: tuple[Value, ...], first: int) -> dict[str, Any]:
    return {
        f"r{number}": _of_value(value) for number, value in enumerate(registers, first) if value is not None
    }  # fmt: skip


def _to_registers(item: Json, names: list[int], numbers: range) -> tuple[Value, ...]:
    known = {f"r{number}" for number in numbers}
    for name, value in item.fields():
        if name not in known:
            raise value.error("no such register here")
    found = [item.get(f"r{number}") for number in numbers]
    return tuple(None if value is None else _to_value(value, names) for value in found)


def _slot(offset: str, item: Json) -> int:
    at = _decimal(offset, item) + SIZE
    if not 0 <= at < SIZE or at % SLOT:
        raise item.error("not the place of a stack slot")
    return at // SLOT


def _decimal(text: str, item: Json) -> int:
    if not _DECIMAL.fullmatch(text):
        raise item.error("its name is not a number")
    return int(text)


# --- a value ---------------------------------------------------------------------------------------------------------


def _of_content(content: Content) -> Any:
    if isinstance(content, Pieces):
        return [[part.start, part.size, _of_value(part.value)] for part in content.parts]
    return _of_value(content)


def _to_content(item: Json, names: list[int]) -> Content:
    if not isinstance(item.content, list):
        return _to_value(item, names)
    parts = []
    for part in item.items(SLOT):
        start, size, held = part.exactly(3)
        value = _to_value(held, names)
        if not isinstance(value, Number | Unusable):
            raise held.error("only a number can be in parts")
        parts.append(Piece(start.number(0, SLOT - 1), size.number(1, SLOT), value))
    return Pieces(tuple(parts))


def _of_value(value: Value) -> dict[str, Any]:
    match value:
        case Number(scalar, symbol, delta):
            return {"number": _of_words(scalar), "is": [symbol, delta]}
        case Pointer(region, scalar, symbol, delta):
            return {"pointer": _of_region(region), "offset": _of_words(scalar), "is": [symbol, delta]}
        case Handle(maps):
            return {"maps": list(maps)}
        case Unusable():
            return {"unusable": value.name.lower()}
        case None:
            raise InternalError("a place that was never set is left out")


def _to_value(item: Json, names: list[int]) -> Value:
    if (words := item.get("number")) is not None:
        return Number(_to_words(words), *_to_name(item["is"], names))
    if (region := item.get("pointer")) is not None:
        return Pointer(_to_region(region, names), _to_words(item["offset"]), *_to_name(item["is"], names))
    if (maps := item.get("maps")) is not None:
        return Handle(_to_maps(maps))
    return _choice(item["unusable"], {unusable.name.lower(): unusable for unusable in Unusable})


def _of_region(region: Region) -> dict[str, Any]:
    data: dict[str, Any] = {"kind": region.kind.name.lower()}
    if region.kind is Kind.STACK:
        data["frame"] = region.frame
    if region.kind is Kind.VALUE:
        data["maps"] = list(region.maps)
    if region.nullable:
        data["origin"] = region.origin
    return data


def _to_region(item: Json, names: list[int]) -> Region:
    kind = _choice(item["kind"], {kind.name.lower(): kind for kind in Kind})
    frame = item["frame"].number(0, limits.CALL_DEPTH - 1) if kind is Kind.STACK else 0
    maps = _to_maps(item["maps"]) if kind is Kind.VALUE else ()
    origin = item.get("origin")
    return Region(kind, frame, maps, 0 if origin is None else _to_symbol(origin, names))


def _to_maps(item: Json) -> tuple[int, ...]:
    return tuple(number.number(0, limits.PROGRAM_MAPS - 1) for number in item.items(limits.PROGRAM_MAPS))


def _to_name(item: Json, names: list[int]) -> tuple[int, int]:
    symbol, delta = item.exactly(2)
    return _to_symbol(symbol, names), delta.number(-_WORD, _WORD)


def _to_symbol(item: Json, names: list[int]) -> int:
    return names[item.number(0, len(names) - 1)]


def _of_words(scalar: Scalar) -> int | dict[str, int]:
    if scalar.is_constant:
        return scalar.constant_value
    return {name: getattr(scalar, name) for name in _WORDS if getattr(scalar, name) != getattr(UNKNOWN, name)}


def _to_words(item: Json) -> Scalar:
    if isinstance(item.content, int):
        return constant(item.number(0, _WORD))
    given = {}
    for name, value in item.fields():
        if name not in _WORDS:
            raise value.error("not a part of a number's description")
        given[name] = value.number(-(1 << 63), (1 << 63) - 1) if name in _SIGNED else value.number(0, _WORD)
    return replace(UNKNOWN, **given)


def _choice(item: Json, of: Mapping[Any, T]) -> T:
    if not isinstance(item.content, str | int) or item.content not in of:
        raise item.error(f"not one of {', '.join(map(str, of))}")
    return of[item.content]
