"""Real programs of a thousand and more instructions, written in the language: what a user's large graft looks like.

`source(shape, size, seed)` is the text of a graft whose compiled handlers have about `12 * size` instructions in all.
The shapes are those that verifiers find hard: many arms that meet again, long runs of checked reads, many lookups that
may each fail, loops in loops, functions copied into every place that calls them, and tables of states and events.
"""

from __future__ import annotations

import random
from collections.abc import Callable

_HEAD = """graft large
protocol block {
    op read(index: u64) -> Node
    op write(bytes)
}
cap disk: block
cap mirror: block
struct Node { leaf: u32, count: u32, keys: [u64; 15], child: [u64; 15] }
struct Row { hits: u64, last: u64, kind: u32, flags: u32 }
struct Field { kind: u16, size: u16, id: u32, value: u64 }
map rows: hash<u64, Row, 1024>
map wanted: hash<u64, u64, 1024>
map slots: array<u64, 64>
state total: u64
state seen: [u64; 64]
state mode: u32
"""

Lines = list[str]


def source(shape: str, size: int, seed: int) -> str:
    """Return the text of a graft; `shape` is one of SHAPES."""
    return _HEAD + "\n".join(SHAPES[shape](size, random.Random(seed))) + "\n"


def _mix(choose: random.Random, name: str) -> str:
    """Return an expression over one number."""
    a, b = choose.randrange(1, 1 << 31), choose.randrange(1, 60)
    return choose.choice((
        f"{name} + {a}", f"({name} ^ {a}) >> {b}", f"{name} * {a} + {b}", f"{name} / {b} + {a}",
        f"({name} & {a}) | {b}", f"({name} << {b % 8}) ^ {name}",
    ))  # fmt: skip


def dispatcher(size: int, choose: random.Random) -> Lines:
    """One `match` of many arms: each counts, computes and reads its own part of the body, and all of them meet."""
    arms = []
    for arm in range(size // 3):
        at = 8 * choose.randrange(32)
        arms.append(f"""        {arm} => {{
            let field = msg.body as Field at {at} else {{ return deliver }}
            let row = rows[field.value] else {{ return deliver }}
            row.hits += {_mix(choose, "field.value")}
            row.kind = field.id
            acc = {_mix(choose, "acc")} + row.last
            seen[{choose.randrange(64)}] += 1
        }}""")
    return [
        "on reply(msg) {", "    let first = msg.body as Field else { return deliver }", "    let mut acc = msg.tag",
        "    match first.kind as u64 {", *arms, "        _ => { return deliver }", "    }",
        "    seen[acc & 63] += acc", "    return consume", "}",
    ]  # fmt: skip


def parser(size: int, choose: random.Random) -> Lines:
    """A body of records read one after the other, each behind its own check of length, kind and size."""
    lines = ["on reply(msg) {", "    let mut sum = 0"]
    for field in range(size // 2):
        lines += [
            f"    let f{field} = msg.body as Field at {16 * field} else {{ return deliver }}",
            f"    if f{field}.kind == {choose.randrange(8)} {{ sum += {_mix(choose, f'f{field}.value')} }}",
            f"    else if f{field}.size > {choose.randrange(1, 64)} {{ sum ^= f{field}.id as u64 }}",
            f"    seen[f{field}.size as u64 & 63] += sum",
        ]
    return [*lines, "    total += sum", "    return consume", "}"]


def lookups(size: int, choose: random.Random) -> Lines:
    """Many maps looked up, changed and deleted from, each of which may fail."""
    lines = [f"map m{n}: hash<u64, Row, 256>" for n in range(16)]
    lines += ["on reply(msg) {", "    let mut key = msg.tag"]
    for step in range(size // 4):
        name = f"m{choose.randrange(16)}"
        lines += choose.choice((
            [f"    let v{step} = {name}[key] else {{ return deliver }}", f"    v{step}.hits += 1",
             f"    key = {_mix(choose, f'v{step}.last')}"],
            [f"    {name}[key] = Row {{ hits: key, last: msg.now }} else {{ total += 1 }}"],
            [f"    delete {name}[key]", f"    key = {_mix(choose, 'key')}"],
            [f"    slots[key & 63] += {choose.randrange(9)} else {{ return deliver }}"],
        ))  # fmt: skip
    return [*lines, "    seen[key & 63] = key", "    return consume", "}"]


def nests(size: int, choose: random.Random) -> Lines:
    """Many loops, some in others, over the body, the state and what was found so far."""
    lines = ["on reply(msg) from disk.read {", "    let node = msg.reply else { return deliver }",
             "    let mut best = 0", "    let mut sum = 0"]  # fmt: skip
    for loop in range(size // 5):
        match choose.randrange(4):
            case 0:
                lines += [f"    for i{loop} in 0..node.count max 15 {{",
                          f"        if node.keys[i{loop}] <= sum {{ best = i{loop} }}", "    }",
                          "    sum += node.child[best]"]  # fmt: skip
            case 1:
                lines += [
                    f"    for i{loop} in 0..8 {{",
                    f"        for j{loop} in 0..8 {{",
                    f"            seen[i{loop} * 8 + j{loop}] += {_mix(choose, 'sum')}",
                    "        }",
                    "    }",
                ]
            case 2:
                lines += [f"    let mut n{loop} = sum", f"    while n{loop} > 1 limit 64 {{ n{loop} /= 2 }}",
                          f"    total += n{loop}"]  # fmt: skip
            case _:
                lines += [
                    f"    for i{loop} in 0..64 {{",
                    f"        if seen[i{loop}] == {choose.randrange(99)} {{ sum += 1 }}",
                    f"        if sum > {choose.randrange(1, 1 << 20)} {{ break }}",
                    "    }",
                ]
    return [*lines, "    return consume", "}", ""]


def handlers(size: int, choose: random.Random) -> Lines:
    """One handler of each event, each a part of the whole."""
    part = max(1, size // 24)
    lines: Lines = []
    for head, verdict in (("reply(msg)", "consume"), ("failure(msg)", "deliver"), ("submit(msg)", "pass"),
                          ("timer(id)", "done"), ("reply(msg) from disk.read", "deliver"),
                          ("failure(msg) from disk.read", "deliver")):  # fmt: skip
        seed = "id" if "timer" in head else "msg.tag"
        lines += [f"on {head} {{", f"    let mut acc = {seed}"]
        for step in range(part):
            lines += [
                f"    if acc > {choose.randrange(1 << 20)} {{ acc = {_mix(choose, 'acc')} }}",
                f"    let r{step} = rows[acc] else {{ return {verdict} }}",
                f"    r{step}.last = acc",
                f"    acc += r{step}.hits",
            ]
        lines += [f"    seen[acc % {choose.randrange(1, 65)}] += 1", f"    return {verdict}", "}"]
    return lines


def inlined(size: int, choose: random.Random) -> Lines:
    """A few functions with branches and a loop, copied into each of many calls."""
    lines = [
        "fn clamp(value: u64, low: u64, high: u64) -> u64 {",
        "    if value < low { return low }", "    if value > high { return high }", "    return value", "}",
        "fn digits(value: u64) -> u64 {", "    let mut rest = value", "    let mut count = 0",
        "    while rest > 9 limit 20 {", "        rest /= 10", "        count += 1", "    }", "    return count", "}",
        "fn note(value: u64) {", "    let digit = clamp(value, 3, 60)", "    seen[digit] += digits(value)", "}",
    ]  # fmt: skip
    for head, verdict in (("reply(msg)", "consume"), ("failure(msg)", "deliver"), ("submit(msg)", "pass")):
        lines += [f"on {head} {{", "    let mut acc = msg.tag"]
        for _ in range(max(1, size // 6)):
            lines += [f"    acc = {_mix(choose, 'acc')}", "    note(acc)"]
        lines += [f"    return {verdict}", "}"]
    return lines


def machine(size: int, choose: random.Random) -> Lines:
    """A table of states and events: a match in each arm of a match, each pair of which does something."""
    states = max(2, round((size / 2) ** 0.5))
    lines = ["on reply(msg) {", "    let first = msg.body as Field else { return deliver }", "    match mode {"]
    for state in range(states):
        lines += [f"        {state} => {{", "            match first.kind {"]
        for event in range(states):
            action = choose.choice((
                "send disk.read(first.value) else { return deliver }",
                "send mirror.write(msg.body[0..16]) else { return deliver }",
                f"arm first.value after {choose.randrange(1, 1000)} else {{ return deliver }}",
                f"wanted[msg.tag] = first.value + {choose.randrange(9)} else {{ return deliver }}",
            ))  # fmt: skip
            lines += [f"                {event} => {{", f"                    {action}",
                      f"                    mode = {choose.randrange(states)}", "                }"]  # fmt: skip
        lines += ["                _ => { total += 1 }", "            }", "        }"]
    return [*lines, "        _ => { mode = 0 }", "    }", "    return consume", "}"]


SHAPES: dict[str, Callable[[int, random.Random], Lines]] = {
    shape.__name__: shape for shape in (dispatcher, parser, lookups, nests, handlers, inlined, machine)
}
