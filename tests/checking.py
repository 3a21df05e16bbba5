"""A world for tests of the checker: declarations that bodies may use, and ways to check a body or a whole source."""

from __future__ import annotations

from grafting import typed
from grafting.checking.check import check
from grafting.diagnostics import Diagnostic, GraftError, Source
from grafting.parsing.parse import parse

WORLD = """
protocol block {
    op read(index: u64) -> Node
    op put(node: Node) -> Ack
    op write(bytes)
    op pair(a: u32, b: u32)
    op sync()
}
cap disk: block
cap mover: block grant
const FANOUT = 31
const NARROW: u8 = 3
const TABLE = [1, 2, 3, 4]
enum Kind: u32 { leaf, inner }
struct Part { a: u32, b: u32 }
struct Node { leaf: u32, count: u32, keys: [u64; FANOUT], child: [u64; FANOUT] }
struct Ack { status: u64 }
struct Row { count: u64, parts: [Part; 4], bytes: [u8; 8] }
struct Big { words: [u64; 64] }
map wanted: hash<u64, u64, 1024>
map rows: hash<u64, Row, 64>
map slots: array<u64, 16>
map kinds: hash<u64, Kind, 64>
state hops: u64
state ring: [u64; 16]
state row: Row
state ready: bool
fn twice(x: u64) -> u64 { return x * 2 }
fn least(a: u64, b: u64) -> u64 { if a < b { return a } return b }
fn drop_row(k: u64) { delete rows[k] }
fn note(x: u64) { hops = x }
on failure(msg) { return deliver }
"""


def in_handler(body: str) -> str:
    """Return a source whose third line is the first one of `body`, the body of a reply handler."""
    return f"graft t\non reply(msg) from disk.read {{\n{body}\nreturn deliver }}\n{WORLD}"


def checked(text: str) -> typed.Graft:
    """Check a whole source."""
    source = Source("t.graft", text)
    return check(source, parse(source))


def errors(text: str) -> tuple[Diagnostic, ...]:
    """Return what the checker reports of a whole source."""
    try:
        checked(text)
    except GraftError as error:
        return error.diagnostics
    return ()


def accepts(body: str) -> bool:
    """Tell whether the checker accepts a body of a reply handler."""
    return not errors(in_handler(body))


def codes(body: str) -> list[str]:
    """Return the codes of what the checker reports of a body of a reply handler."""
    return [d.code for d in errors(in_handler(body))]
