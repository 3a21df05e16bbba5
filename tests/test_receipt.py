"""The proof as data: written and read back it is the same; what remains falls along every execution."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import grafting
import verifier
from grafting import GraftError, Program, hooks
from grafting.costs import CostVector
from verifier import receipt
from verifier.lattice import includes

SAMPLES = sorted((Path(__file__).parents[1] / "samples").glob("*.graft"))

NESTED = """
    r6 = 0
    r0 = 0
outer:
    if r6 > 9 goto out
    r7 = 0
inner:
    if r7 > 4 goto next
    r0 += r7
    r7 += 1
    goto inner
next:
    r6 += 1
    goto outer
out:
    exit
"""

IN_STEP = """
    r2 = 0
    r3 = r1
    r0 = 0
top:
    if r2 > 15 goto out
    if r2 > 7 goto next
    r4 = *(u64 *)(r3 + 0)
    r0 += r4
next:
    r3 += 8
    r2 += 1
    goto top
out:
    exit
"""

CALLEE = """
    r6 = 0
    *(u16 *)(r10 - 6) = r6
    call double
    exit
double:
    r0 = 0
again:
    if r0 > 6 goto done
    r0 += 2
    goto again
done:
    exit
"""


def proved(text: str) -> verifier.Verified:
    return verifier.verify(Program.from_assembly(text, hooks.raw_memory(64)))


def compiled(path: Path) -> verifier.Verified:
    return verifier.verify(grafting.compile_graft(path.read_text(), filename=path.name))


EVERY = [
    *((path.stem, lambda path=path: compiled(path)) for path in SAMPLES),
    ("nested", lambda: proved(NESTED)),
    ("in step", lambda: proved(IN_STEP)),
    ("callee", lambda: proved(CALLEE)),
]


@pytest.mark.parametrize("make", [make for _name, make in EVERY], ids=[name for name, _make in EVERY])
def test_a_receipt_reads_back_as_the_proof_that_it_was_written_of(make) -> None:
    verified = make()
    data = receipt.dumps(verified)
    again = receipt.loads(data)
    assert again == {name: receipt.canonical(proof) for name, proof in verified.handlers.items()}
    assert data == receipt.dumps(make())  # the same program, the same bytes


@pytest.mark.parametrize("make", [make for _name, make in EVERY], ids=[name for name, _make in EVERY])
def test_renumbering_symbols_neither_adds_nor_loses_a_relation(make) -> None:
    for proof in make().handlers.values():
        renamed = receipt.canonical(proof)
        assert receipt.canonical(renamed) == renamed
        for key, states in proof.states.items():
            for before, after in zip(states, renamed.states[key], strict=True):
                assert relations(before) == relations(after)
                assert includes(proof.terms, before, before)


def relations(state) -> list[tuple[int, int]]:
    """Return which places of a state share a symbol, as pairs of positions; slots in the order of their offsets."""
    frames = tuple(frame._replace(stack=dict(sorted(frame.stack.items()))) for frame in state.frames)
    values = receipt.values_of(state._replace(frames=frames))
    symbols = [value.symbol for value in values if hasattr(value, "symbol")]
    return [(i, j) for i, a in enumerate(symbols) for j, b in enumerate(symbols) if i < j and a == b]


def test_what_remains_at_the_entry_is_the_bound_and_at_the_end_is_the_last_block() -> None:
    proof = proved(NESTED).handlers["main"]
    assert proof.remaining[0, 0].instructions == proof.bounds.instructions
    assert proof.remaining[0, 10].instructions == 1
    assert proof.remaining[0, 2].instructions == 1 + 10 * (2 + 5 * 4 + 1 + 2) + 1


def test_what_remains_of_a_callee_is_part_of_what_remains_of_its_caller() -> None:
    proof = proved(CALLEE).handlers["main"]
    callee = proof.remaining[4, 4].instructions
    assert callee == 1 + 4 * 3 + 1 + 1
    assert proof.remaining[0, 0].instructions == 3 + callee + 1 == proof.bounds.instructions


def test_the_form_is_the_documented_one() -> None:
    top = json.loads(receipt.dumps(proved(CALLEE)))
    assert top["schema"] == 1
    (handler,) = top["handlers"]
    assert set(handler) == {"name", "event", "code", "steps", "bounds", "symbols", "blocks", "loops"}
    (loop,) = handler["loops"]
    assert (loop["function"], loop["head"], loop["rounds"]) == (4, 5, 4)
    assert loop["ranking"]["variables"] == [{"place": ["register", 0, 0, 0, 8], "start": [0, 0], "move": 2}]
    first = handler["blocks"][0]
    assert first["states"][0]["registers"]["r1"]["pointer"] == {"kind": "memory"}
    inside = next(block for block in handler["blocks"] if block["start"] == 4)
    assert inside["states"][0]["frames"][0]["stack"] == {"-8": [[2, 2, {"number": 0, "is": [0, 0]}]]}


# --- from whomever ---------------------------------------------------------------------------------------------------

GOOD = json.loads(receipt.dumps(proved(CALLEE)))


def paths(value, path=()):
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths(item, (*path, index))


PATHS = [path for path in paths(GOOD) if path]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(PATHS), JSON)
def test_a_receipt_of_a_stranger_is_read_or_refused(path, junk) -> None:
    broken = json.loads(json.dumps(GOOD))
    place = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = junk
    try:
        proofs = receipt.loads(json.dumps(broken).encode())
    except GraftError as error:
        codes = {diagnostic.code for diagnostic in error.diagnostics}
    else:
        codes = {"G0570"}
        assert all(isinstance(proof.bounds, CostVector) for proof in proofs.values())
    assert codes == {"G0570"}


def test_a_receipt_makes_no_verified() -> None:
    proofs = receipt.loads(receipt.dumps(proved(NESTED)))
    with pytest.raises(TypeError):
        verifier.Verified(object(), Program.from_assembly("r0 = 0\nexit", hooks.raw_memory(64)), proofs)


def test_what_remains_is_told_where_a_helper_ends_the_program() -> None:
    text = "r1 = *(u8 *)(r1 + 0); call f; r0 = 0; exit; f: r0 = 1; r2 = 1; call 5; if r1 == 3 goto X; exit; X: exit"
    proof = proved(text).handlers["main"]
    assert proof.remaining[4, 4].instructions >= 3
    assert proof.remaining[0, 0].instructions >= 5  # of which three are the callee's
    assert proved("r0 = 1; call 5; if r0 == 3 goto X; exit; X: exit").handlers["main"].remaining[0, 0].instructions >= 2
