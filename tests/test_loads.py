"""What the checker proves of memory, the verifier proves too: a place that cannot have changed is loaded once."""

from __future__ import annotations

import pytest

import grafting
import verifier
from grafting import GraftError
from grafting.assembly.disassembler import disassemble
from jit import GraftState, Message, activate

HEAD = """graft g
protocol P { op read(index: u64) -> Node   op put(pair: Pair) -> Pair }
struct Node { idx: u64, next: u32, pad: u32, arr: [u64; 16] }
struct Pair { a: u64, b: u64 }
struct Row { i: u64, n: u64, low: u8, on: bool, p: [u8; 6] }
cap disk: P
map rows: hash<u64, Row, 8>
map seen: hash<u64, u64, 8>
state cur: u64
state ready: bool
state pair: Pair
state ring: [u64; 16]
const TABLE: [u64; 4] = [3, 1, 2, 0]
fn bump() { cur += 1 }
fn small() -> bool { return cur < 16 }
"""
NODE = "let node = msg.reply else { return deliver }"
ROW = "let row = rows[msg.tag] else { return deliver }"

PROVED = {
    "a state variable": "if cur < 16 { ring[cur] = 1 }",
    "a property of the message": "if msg.tag > 15 { return deliver }  ring[msg.tag] = 1",
    "a property, after a call of the kernel":
        "if msg.tag > 15 { return deliver }  let row = rows[1] else { return deliver }  ring[msg.tag] = row.n",
    "a field of the body": f"{NODE}  if node.idx < 16 {{ ring[node.idx] = node.arr[node.idx] }}",
    "a field of the body, after a write": f"{NODE}  if node.idx < 16 {{ cur = 7  ring[node.idx] = 1 }}",
    "a narrow field": f"{NODE}  if node.next < 16 {{ ring[node.next] = 1 }}",
    "a field of a map value": f"{ROW}  if row.i < 16 {{ ring[row.i] = 1 }}",
    "a byte of a map value": f"{ROW}  if row.low < 16 && row.on {{ ring[row.low] = 1 }}",
    "a field of a state struct": "if pair.b < 16 { ring[pair.b] = 1 }",
    "what was just stored": "cur = msg.tag % 16  ring[cur] = 1",
    "what was loaded on both ways":
        "if msg.tag == 0 { if cur > 15 { return deliver } } else { if cur > 3 { return deliver } }  ring[cur] = 1",
    "what was narrowed on one way and stored on the other":
        "if cur > 15 { cur = 0 }  ring[cur] = 1",
    "a sum": "if msg.tag < 100 && msg.tag + 2 < 16 { ring[msg.tag + 2] = 1 }",
    "an index in a loop that writes nothing else": f"{NODE}  if node.idx > 15 {{ return deliver }}\n"
        "let mut s = 0  for i in 0..16 { s += node.arr[node.idx] }  ring[node.idx] = s",
    "a property in a loop that writes": "if msg.tag > 15 { return deliver }  for i in 0..4 { ring[msg.tag] = i }",
    "two operands of one body": f"{ROW}  if row.i > 15 {{ return deliver }}\n"
        "send disk.put(Pair { a: ring[row.i], b: ring[row.i] }) else { return deliver }",
    "a match on state": "match cur { 0..=15 => { ring[cur] = 1 } _ => {} }",
    "a checked index": "let x = ring[cur] else { return deliver }  ring[cur] = x + 1",
    "a while loop": "while cur < 16 limit 20 { ring[cur] = 1  cur += 1 }",
    "a table": "if msg.tag < 4 { ring[msg.tag] = TABLE[msg.tag] }",
    "the clock between": "if cur < 16 { let t = now()  ring[cur] = t }",
}  # fmt: skip

NOT_PROVED = {
    "a write between": "if cur < 16 { cur = msg.tag  ring[cur] = 1 }",
    "a function that writes between": "if cur < 16 { bump()  ring[cur] = 1 }",
    "a lookup between": f"if cur < 16 {{ {ROW}  ring[cur] = row.n }}",
    "a store into the map between": f"{ROW}  if row.i < 16 {{ rows[2] = row else {{}}  let again = rows[3] else"
        " { return deliver }  ring[again.i] = 1 }",
    "a write in an earlier round": "if cur < 16 { for i in 0..3 { ring[cur] = 1  cur += i } }",
    "a function that writes in the loop": "if cur < 16 { while small() limit 3 { bump() }  ring[cur] = 1 }",
    "a view bound anew": f"{ROW}  if row.i < 16 {{ let row2 = rows[5] else {{ return deliver }}  ring[row2.i] = 1 }}",
}  # fmt: skip


def source(body: str) -> str:
    return f"{HEAD}on reply(msg) from disk.read {{ {body}\n return consume }}\n"


@pytest.mark.parametrize("body", PROVED.values(), ids=PROVED.keys())
def test_what_the_checker_accepts_the_verifier_accepts(body: str) -> None:
    verifier.verify(grafting.compile_graft(source(body)))


@pytest.mark.parametrize("body", NOT_PROVED.values(), ids=NOT_PROVED.keys())
def test_what_may_have_changed_is_not_proved(body: str) -> None:
    with pytest.raises(GraftError) as caught:
        grafting.compile_graft(source(body))
    assert caught.value.diagnostics[0].code == "G0301"


def run(body: str, *, tag: int = 0, cur: int = 0) -> GraftState:
    program = grafting.compile_graft(source(body))
    state = GraftState(program)
    state.variables["cur"] = cur
    state.maps["seen"][1] = 5
    result = activate(verifier.verify(program), "reply", Message(tag=tag, slot=0, body=bytes(152)), state)
    assert result.fault is None
    return state


def test_a_value_is_loaded_anew_after_every_way_in_which_it_may_have_changed() -> None:
    assert run("let a = cur  cur = a + 1  cur = cur + 1").variables["cur"] == 2
    assert run("if cur == 0 { bump() }  cur = cur * 10").variables["cur"] == 10
    assert run("for i in 0..5 { if cur == i { cur += 1 } }").variables["cur"] == 5
    assert run("for i in 0..5 { let a = cur  bump()  cur = cur + a }").variables["cur"] == 31
    assert run("while small() limit 9 { bump() }  ring[0] = cur").variables["ring"][0] == 9
    assert run("if msg.tag == 1 { cur = 4 } else { bump() }  cur = cur + 1", tag=2).variables["cur"] == 2
    assert run("pair.a = cur  let p = pair.a  pair.b = p + 1  cur = pair.b").variables["cur"] == 1
    assert run("seen[1] += 1 else {}  let s = seen[1] else { return deliver }  cur = s").variables["cur"] == 6


def test_a_place_is_loaded_once() -> None:
    program = grafting.compile_graft(source("if cur < 16 { ring[cur] = cur + cur * msg.tag + msg.tag }"))
    text = disassemble(program.handlers[0].instructions)
    assert text.count("= *(u64 *)") == 2  # cur and msg.tag
