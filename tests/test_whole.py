"""Whole-program compilation: the program in machine code does what its source says, and stale code is not found."""

import re
from types import ModuleType

import numpy as np
import pytest
import whole_program
from whole_program import Outer, bits, clear, mix, tables, turn, walk

from grafting.diagnostics import InternalError
from jit import translate, whole
from jit.hot import hot
from jit.words import u64

ENTRIES = {"walk": 2, "mix": 1, "bits": 1, "turn": 1, "clear": 0}


def both() -> tuple[Outer, Outer]:
    return tables(), tables()


def equal(first: Outer, second: Outer) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(whole.arrays_of(first), whole.arrays_of(second), strict=True))


def test_numba_machine_code_and_source_do_the_same() -> None:
    program = whole.compiled(whole_program, "k", tables(), ENTRIES)
    plain, machine = both()
    for first, limit in ((0, 100), (3, 4), (-1, 5), (9, 0)):
        assert program.walk(machine, first, limit) == walk(plain, first, limit)
    for value in (0, 1, 2, 255, 256, (1 << 63) - 1):
        assert program.bits(machine, value) == bits(plain, value) == value.bit_length() + whole_program.STEP
    for row in range(10):
        assert program.mix(machine, row) == mix(plain, row)
        assert program.turn(machine, row) == turn(plain, row)
    assert equal(plain, machine)
    assert program.clear(machine) is None
    clear(plain)
    assert equal(plain, machine)


def test_numba_a_sum_of_a_signed_and_an_unsigned_word_is_refused() -> None:
    """numba makes a float of it, which is exact up to 2**53 only."""

    @hot
    def mixed(k: Outer, row: int) -> int:
        return int(u64(k.items[row]["word"]) if row > 3 else k.items[row]["value"])

    module = ModuleType("floats")
    mixed.__module__ = module.__name__
    vars(module).update(mixed=mixed, u64=u64)
    from jit import translate

    with pytest.raises(InternalError, match="became floats"):
        translate.program(module, "k", tables(), {"mixed": 1})


def test_rare_functions_are_found_by_their_names() -> None:
    (rare,) = whole._rare(whole_program)
    (program, *_) = translate.program(whole_program, "k", tables(), {"walk": 2})
    assert len(re.findall(rf'^define [^@]*@"?{rare}', program, re.MULTILINE)) == 1


def test_code_sees_the_tables_where_they_are() -> None:
    block = whole.Block(tables())
    assert block.pairs[:, 1].tolist() == [10, 4, 8, 64]
    outer = tables()
    assert whole.Block(outer).pairs[2, 0] == outer.inner.numbers.ctypes.data


@pytest.mark.parametrize("change", ["field", "entries", "source"])
def test_code_made_for_something_else_is_not_found(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sample, entries = tables(), dict(ENTRIES)
    before = whole._digest(whole_program, sample, entries)
    if change == "field":
        longer = np.dtype([*whole_program.ITEM.descr, ("more", np.int64)])
        sample = sample._replace(items=np.zeros(10, longer))
    elif change == "entries":
        del entries["mix"]
    else:
        monkeypatch.setattr(whole_program, "STEP", 4)
    assert whole._digest(whole_program, sample, entries) != before
