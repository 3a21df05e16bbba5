"""A witness in words: what the input is, what it does, how to run it again; and what to say if there is none.

    witness: with this input `main` misbehaves: access of 1 bytes at stack frame 0+0 goes out of bounds (slot 6)
      memory   192 bytes, zero but for 08 at 0
      replay   graft run x.s --input '{"handler": "main", "body": {"length": 192, "bytes": {"0": "08"}}}'

Of a graft whose source is known it is also a `test` block, if the language can say it and the test fails indeed: it is
compiled behind the source and run before it is shown.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from grafting import compiler, limits
from grafting.diagnostics import Diagnostic, GraftError, Source
from grafting.hooks import NO_SLOT, Event, Hook
from grafting.program import OpSpec, Program
from jit.events import Breach
from jit.faults import Fault
from jit.state import GraftState
from jit.values import Types, hexadecimal
from jit.witness import Witness, find
from jit.witness.inputs import Input, pieces
from jit.witness.replay import prepare

_LEAKS: Final = ("G0611", "G0612", "G0613", "G0604")
_CONVINCING: Final = {
    "G0601": "write the register on every path before it is read",
    "G0602": "write these bytes on every path before they are read",
    "G0603": "bound the offset by a comparison or a mask before the access",
    "G0605": "compare the end of the access with `data_end` on every path",
    "G0606": "bound the offset by a comparison or a mask before the access",
    "G0607": "compare the lookup's result with 0 on every path",
    "G0608": "keep the address whole, from where it comes from to the access",
    "G0610": "make the offset a multiple of the access's size, by a mask if it varies",
    "G0616": "give the helper the kind of value that it asks for on every path",
    "G0617": "choose slot and operation by constants, or by a comparison with each",
    "G0618": "compare the length with the operation's limits before the call",
    "G0619": "set r0 to a constant verdict before each exit",
    "G0620": "a budget of the bound, or tighter limits of the loops",
    "G0621": "count the rounds: a counter with a constant step, compared with a bound that the loop does not change",
    "G0622": "a smaller program: fewer independent branches, loops with a counter",
    "G0625": "fewer or smaller locals in the functions of the chain",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What to say about one diagnostic: its witness, or None; `test` and `replay`, the command, go with a witness."""

    handler: str | None
    witness: Witness | None
    text: str
    replay: str | None = None
    test: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return this as JSON-ready data; without a witness its fields are null."""
        if self.witness is None:
            return {"handler": self.handler, "input": None, "text": self.text}
        return {**self.witness.as_dict(), "replay": self.replay, "test": self.test, "text": self.text}


def tell(
    program: Program, diagnostics: Sequence[Diagnostic], file: str, hook: Hook | None, path: str | None = None
) -> list[Told]:
    """Search a witness for each diagnostic of a rejected program and return what to say.

    `file` and `hook` are those that the user gave; `path` is where the first witness's input will be written, if so.
    """
    told: list[Told] = []
    for diagnostic in diagnostics:
        witness = find(program, diagnostic)
        if witness is None:
            told.append(Told(diagnostic.handler, None, excuse(diagnostic)))
            continue
        first = all(each.witness is None for each in told)
        replay = command(witness, file, hook, path if first else None)
        test = test_block(witness, program)
        told.append(Told(diagnostic.handler, witness, _text(witness, program, replay, test), replay, test))
    return told


def command(witness: Witness, file: str, hook: Hook | None, path: str | None = None) -> str:
    """Return the shell command that replays a witness, whose input is in the file `path` if that is given."""
    options = []
    if hook is not None:
        options = ["--hook", hook.name if hook.event else f"{hook.name}:{hook.context_bytes}"]
    return shlex.join(["graft", "run", file, *options, "--input", path or json.dumps(witness.input_json())])


def _text(witness: Witness, program: Program, replay: str, test: str | None) -> str:
    rows = [*_rows(witness, program), ("replay", replay)]
    if not witness.arrives:
        rows.insert(-1, ("but", "no kernel sends this; yet the hook's types allow it, and the verifier relies on them"))
    width = max(len(label) for label, _ in rows)
    lines = [f"witness: with this input `{witness.handler.name}` misbehaves: {_what(witness)}"]
    lines += [f"  {label:<{width}}  {words}" for label, words in rows]
    if test is not None:
        lines += ["  as a test of the source:", "", *(f"    {line}" for line in test.split("\n"))]
    return "\n".join(lines)


def excuse(rejection: Diagnostic) -> str:
    """Return what to say if no witness was found."""
    where = f"`{rejection.handler}`" if rejection.handler else "the program"
    if rejection.code in _LEAKS:
        return (
            f"no witness: no input was found that makes {where} misbehave. What it would give away, where memory lies, "
            "a run cannot show: the checked interpreter's addresses are made up, and using one wrongly is a fault only "
            "when it is followed"
        )
    wanted = rejection.helps[0] if rejection.helps else _CONVINCING.get(rejection.code)
    convincing = f". What would convince the verifier: {wanted}" if wanted else ""
    return f"no witness: no input was found that makes {where} misbehave; it may be safe{convincing}"


def _what(witness: Witness) -> str:
    wrong = witness.misbehaviour
    if isinstance(wrong, Fault):
        if witness.fuel is not None:
            return f"it has not ended after {witness.fuel:,} instructions"
        return f"{wrong.sentence} ({f'line {wrong.span.line}' if wrong.span.known else f'slot {wrong.pc}'})"
    if isinstance(wrong, Breach):
        return f"{wrong.what} (slot {wrong.pc})"
    return wrong.sentence


def _rows(witness: Witness, program: Program) -> list[tuple[str, str]]:
    """Return the parts of an input that say something, as (label, words)."""
    given = witness.given
    raw = witness.handler.hook.event is None
    rows = [] if raw else [("message", _message(given))]
    if given.body or not raw:
        rows.append(("memory" if raw else "body", _bytes(given.body)))
    if given.field("now"):
        rows.append(("now", f"{given.field('now')} ns"))
    types = GraftState(program).types
    specs = {spec.name: spec for spec in program.maps}
    for (name, key), value in given.entries:
        spec = specs[name]
        rows.append(("map", f"{name}[{types.describe(spec.key_type, key)}] = {types.describe(spec.value_type, value)}"))
    rows += [("state", f"{name} = {value}") for name, value in _variables(given, program)]
    rows += [("slot", f"`{name}` is empty") for name in sorted(given.empty)]
    rows += [("timer", f"{number} is armed") for number in sorted(given.timers)]
    rows += [("held", f"an operation with tag {tag}") for tag in sorted(given.held)]
    return rows


def _message(given: Input) -> str:
    shown = [
        (name, value) for name, value in given.fields if value and name != "now" and (name, value) != ("slot", NO_SLOT)
    ]
    return ", ".join(f"{name} {_number(name, value)}" for name, value in shown) or "all fields 0"


def _number(name: str, value: int) -> int:
    return value - (1 << 32) if name == "status" and value >> 31 else value


def _bytes(data: bytes) -> str:
    found = [f"{hexadecimal(bytes.fromhex(digits))} at {at}" for at, digits in pieces(data).items()]
    size = f"{len(data)} byte{'' if len(data) == 1 else 's'}"
    return f"{size}, zero but for {', '.join(found)}" if found else size + (", all zero" if data else "")


def _variables(given: Input, program: Program) -> list[tuple[str, str]]:
    """Return the state variables that an input sets, whole, and bytes that belong to none."""
    if not given.patches:
        return []
    state = GraftState(program)
    before = state.snapshot()
    prepare(state, replace(given, entries=(), timers=frozenset(), held=frozenset()))
    return [(change.what, change.after or "") for change in state.changes(before)]


# --- as a test of the language ---------------------------------------------------------------------------------------


def test_block(witness: Witness, program: Program) -> str | None:
    """Return a `test` block that fails by this witness, None if the language cannot say it or there is no source."""
    source = program.debug.source
    given = witness.given
    trigger = _trigger(witness, program)
    told = {"tag", "badge", "status", "slot", "op", "now"}
    untold = any(value for name, value in given.fields if name not in told)
    if source is None or trigger is None or untold or given.empty or given.timers or given.held:
        return None
    lines = [f"{label} = {words}" for label, words in _given(given, program)]
    block = "\n    ".join(['test "witness" {', *(f"given {line}" for line in lines), trigger]) + "\n}"
    return block if len(block) <= limits.WITNESS_TEST_CHARACTERS and _fails(block, source) else None


def _given(given: Input, program: Program) -> list[tuple[str, str]]:
    types = GraftState(program).types
    specs = {spec.name: spec for spec in program.maps}
    found = [
        (f"{name}[{types.describe(specs[name].key_type, key)}]", types.describe(specs[name].value_type, value))
        for (name, key), value in given.entries
    ]
    found += _variables(given, program)
    return [*found, ("now", str(given.field("now")))] if given.field("now") else found


def _trigger(witness: Witness, program: Program) -> str | None:
    """Return the event in the words of a test."""
    given, event = witness.given, witness.handler.hook.event
    if event is None:
        return None
    tag, badge = given.field("tag"), given.field("badge")
    if event is Event.TIMER:
        return f"timer {tag}" if not badge else None
    if event is Event.SCHEDULE:
        return "schedule" if not tag and not badge else None
    what = _operation(program, event, given.field("slot"), given.field("op"))
    if what is None:
        return None
    settings = [f"{name} {value}" for name, value in (("tag", tag), ("badge", badge)) if value]
    if event is Event.FAILURE:
        settings.append(f"status {_number('status', given.field('status'))}")
    return " ".join([event.name.lower(), what, *settings, _payload(program, event, given)])


def _payload(program: Program, event: Event, given: Input) -> str:
    """Return the body as a struct literal where a reply has a type, else byte by byte."""
    if event is Event.REPLY:
        op = next(op for op in program.slots[given.field("slot")].protocol.ops if op.number == given.field("op"))
        if op.reply_type and op.reply_bytes == len(given.body):
            return _literal(Types(program.debug.types), op.reply_type, given.body)
    return f"bytes [{', '.join(map(str, given.body))}]"


def _literal(types: Types, name: str, data: bytes) -> str:
    """Return a value as a literal of a test, in which fields and last elements that are left out are zero."""
    if name in types.named and "struct" in types.named[name]:
        parts = [
            (f"{field}: ", type_, data[offset : offset + (types.size(type_) or 0)])
            for field, type_, offset in types.named[name]["struct"]
        ]
        fields = [label + _literal(types, type_, part) for label, type_, part in parts if any(part)]
        return f"{name} {{ {', '.join(fields)} }}"
    element, _, count = name.removeprefix("[").removesuffix("]").rpartition(";")
    if name.startswith("[") and count.strip().isdecimal():
        step = types.size(element) or len(data)
        used = data.rstrip(b"\0")
        return f"[{', '.join(_literal(types, element, data[at : at + step]) for at in range(0, len(used), step))}]"
    return types.describe(name, data)


def _operation(program: Program, event: Event, slot: int, op: int) -> str | None:
    """Return what an event is about: `disk.read`, of a request `get`."""
    if event is Event.REQUEST:
        served: list[OpSpec] = [spec for protocol in program.serves for spec in protocol.ops]
        return next((spec.name for spec in served if spec.number == op), None)
    if slot >= len(program.slots):
        return None
    spec = program.slots[slot]
    return next((f"{spec.name}.{known.name}" for known in spec.protocol.ops if known.number == op), None)


def _fails(block: str, source: Source) -> bool:
    """Whether the block, put behind the source, compiles and fails."""
    from jit import testing

    try:
        program = compiler.compile_source(Source(source.filename, f"{source.text}\n{block}\n"))
    except GraftError:
        return False
    return not testing.run_test(program, program.tests[-1]).passed
