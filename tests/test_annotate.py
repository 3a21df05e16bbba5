"""`graft show --states`: what is shown is what was proved, at the lines and places that it belongs to."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

import cli
import verifier
from grafting import Program, compile_graft, hooks
from verifier import annotate
from verifier.annotate import Annotated

ROOT = Path(__file__).resolve().parents[1]
BTREE = ROOT / "samples" / "btree_lookup.graft"

MASKED = """
r2 = *(u64 *)(r1 + 0)
r3 = *(u64 *)(r1 + 8)
r4 = r2
r4 += 16
if r4 > r3 goto out
r5 = *(u8 *)(r2 + 4)
r5 &= 7
*(u64 *)(r10 - 8) = r5
r2 += r5
r0 = *(u8 *)(r2 + 0)
out:
r0 = 0
exit
"""

MASKED_SHOWN = """main:
    0: r2 = *(u64 *)(r1 + 0)
      |     r1: an address in the context, offset 0
    1: r3 = *(u64 *)(r1 + 8)
      |     r2: an address in the message body, offset 0
    2: r4 = r2
      |     r3: an address in the message body, offset 0..=65536
    3: r4 += 16
      |     r4: an address in the message body, offset 0
    4: if r4 > r3 goto L10
      |     r4: an address in the message body, offset 16
    5: r5 = *(u8 *)(r2 + 4)
      |     the message body: 16..=65536 bytes; r2: bytes 0..16 of the message body
    6: r5 &= 7
      |     r5: 0..=255
    7: *(u64 *)(r10 - 8) = r5
      |     r5: 0..=7
    8: r2 += r5
      |     r10-8: 0..=7
    9: r0 = *(u8 *)(r2 + 0)
      |     r2: an address in the message body, offset 0..=7
   10: r0 = 0
   11: exit
      |     r0: 0"""


def annotated(program: Program) -> Annotated:
    (handler,) = annotate.annotate(verifier.verify(program))
    return handler


def known(handler: Annotated, words: str) -> dict[str, str]:
    """Return what is known at the source line that contains these words."""
    (row,) = (row for row in handler.rows if words in row.text)
    return {fact.name: fact.known for fact in row.facts}


def test_each_instruction_of_an_assembly_program_is_shown_with_what_changed() -> None:
    program = Program.from_assembly(MASKED, hooks.GRAFT_HOOKS["reply"])
    assert annotate.render((annotated(program),)) == MASKED_SHOWN


def test_each_line_of_a_graft_is_shown_with_its_own_names() -> None:
    program = compile_graft(BTREE.read_text())
    reply, failure = annotate.annotate(verifier.verify(program))
    assert (reply.handler, failure.handler) == ("reply/disk.read", "failure")
    at = known(reply, "if node.keys[i] <= key")
    assert at["i"] == "1..=30"
    assert at["node"] == "bytes 0..504 of the message body"
    assert at["the message body"] == "504..=65536 bytes"
    assert known(reply, "let key = wanted") == {}


def test_lines_are_in_order_and_each_is_shown_once() -> None:
    for handler in annotate.annotate(verifier.verify(compile_graft(BTREE.read_text()))):
        lines = [row.line for row in handler.rows]
        assert lines == sorted(set(lines))
        assert lines[0] > 0


def test_what_may_still_be_spent_falls_to_the_exit() -> None:
    program = Program.from_assembly("r0 = 1\nr0 += 1\nr0 = 0\nexit\n", hooks.GRAFT_HOOKS["timer"])
    assert [row.instructions for row in annotated(program).rows] == [4, 3, 2, 1]


def test_several_states_of_a_place_are_joined() -> None:
    text = """graft g
state out: u64
on timer(id) {
    let mut x = 3
    if id == 7 { x = 12 }
    out = x
}
"""
    assert known(annotated(compile_graft(text)), "out = x")["x"] == "3..=12"


def test_code_that_no_execution_reaches_is_said_to_be_so() -> None:
    program = Program.from_assembly("r0 = 0\nif r0 == 0 goto out\nr0 = 5\nout: exit\n", hooks.GRAFT_HOOKS["timer"])
    shown = annotate.render((annotated(program),)).splitlines()
    assert shown[shown.index("    2: r0 = 5") + 1] == "      |     never reached"


def test_a_map_value_is_named_by_its_map() -> None:
    text = """graft g
struct Pair { a: u64, b: u64 }
map pairs: hash<u64, Pair, 8>
on timer(id) {
    let pair = pairs[id] else { return done }
    pair.a += pair.b
}
"""
    assert known(annotated(compile_graft(text)), "pair.a +=")["pair"].startswith("an address in a value of map `pairs`")


def test_the_command_prints_text_and_json() -> None:
    text = CliRunner().invoke(cli.main, ["show", "--states", str(BTREE)], prog_name="graft")
    assert text.exit_code == 0
    assert "i: 1..=30" in text.stdout
    data = json.loads(CliRunner().invoke(cli.main, ["show", "--states", str(BTREE), "--output-format", "json"]).stdout)
    assert data["schema"] == 1
    rows = data["handlers"][0]["rows"]
    assert any(row["known"].get("i") == "1..=30" for row in rows)
    assert CliRunner().invoke(cli.main, ["show", str(BTREE), "--output-format", "json"]).exit_code == 2


def test_the_example_of_the_manual_is_what_is_printed() -> None:
    section = (ROOT / "docs" / "verifier.md").read_text().partition("\n## Seeing what is known\n")[2]
    _, source, _, shown, *_ = section.replace("```graft", "```").replace("```text", "```").split("```\n")
    program = compile_graft(source)
    assert annotate.render(annotate.annotate(verifier.verify(program))) == shown.strip("\n")


def test_a_rejected_program_has_no_states_to_show(tmp_path: Path) -> None:
    file = tmp_path / "x.s"
    file.write_text("r0 = *(u64 *)(r1 + 4096)\nexit\n")
    shown = CliRunner().invoke(cli.main, ["show", "--states", "--hook", "timer", str(file)])
    assert shown.exit_code == 1
    assert "G06" in shown.stderr
