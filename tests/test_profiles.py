"""Cost profiles: published wholes are reassembled exactly, and nothing uncertain passes for known."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from grafting import GraftError
from kernel_model import costs
from kernel_model.core import prices
from kernel_model.costs import inheritance
from kernel_model.costs.inheritance import figures

PROFILES = costs.available()
TEXT = resources.files("kernel_model.costs").joinpath("profiles", "sel4-skylake.toml").read_text(encoding="utf-8")

PUBLISHED_CYCLES = {"call": 718, "reply": 576, "notify_waiter": 753, "interrupt_to_user": 1638, "null_syscall": 181}


def code_of(text: str) -> str:
    with pytest.raises(GraftError) as caught:
        costs.parse(text)
    return caught.value.diagnostics[0].code


@pytest.mark.parametrize("name", PROFILES)
def test_every_composite_is_the_sum_of_its_primitives_to_the_picosecond(name: str) -> None:
    profile = costs.load(name)
    for table, figure, moved in corners(profile):
        for composite in profile.composites.values():
            assert composite.equation is not None
            total = sum(c * int(table[prices.INDEX[term]]) for c, term in composite.equation.terms)
            assert total == composite.value + (moved if figure == composite.name else 0)


def corners(profile: costs.Profile) -> Iterator[tuple[NDArray[np.int64], str, int]]:
    """Yield (prices, figure, by how many ps it was moved) for each uncertain figure at either end, and for none."""
    yield profile.prices, "", 0
    for name, ends in profile.uncertain.items():
        figure = profile.composites.get(name) or profile.primitives[name]
        for change, end in ((ends.low, figure.low), (ends.high, figure.high)):
            table = profile.prices
            for row, ps in change.items():
                table[row] += ps
            yield table, name, end - figure.value


@pytest.mark.parametrize("name", PROFILES)
def test_no_price_is_outside_its_interval_wherever_the_given_figures_lie(name: str) -> None:
    profile = costs.load(name)
    for end in ("low", "high"):
        table = profile.prices
        for figure in profile.primitives.values():
            row = prices.INDEX[figure.name]
            moves = [(ends.low.get(row, 0), ends.high.get(row, 0)) for ends in profile.uncertain.values()]
            far = sum(min(0, *move) if end == "low" else max(0, *move) for move in moves)
            assert int(table[row]) + far == (figure.low if end == "low" else figure.high) >= 0


def test_a_derived_figure_that_could_be_negative_is_refused() -> None:
    assert (
        code_of(TEXT.replace("switch = { value = 186, high = 286,", "switch = { value = 186, high = 600,", 1))
        == "G0834"
    )


def test_the_figures_published_for_sel4_on_skylake_come_out_in_cycles() -> None:
    profile = costs.load("sel4-skylake")
    table = profile.prices
    for name, cycles in PUBLISHED_CYCLES.items():
        equation = profile.composites[name].equation
        assert equation is not None
        ps = sum(int(table[prices.INDEX[term]]) * c for c, term in equation.terms)
        assert round(ps * profile.hz / 10**12, 2) == cycles


@pytest.mark.parametrize("name", PROFILES)
def test_every_primitive_has_a_price_with_a_certainty_and_a_worst_case(name: str) -> None:
    profile = costs.load(name)
    assert set(profile.primitives) == {p.name for p in prices.PRIMITIVES} - set(prices.UNIT_PRICED)
    for figure in profile.primitives.values():
        assert min(figure.low, figure.value, figure.high) >= 0
        assert max(figure.low, figure.value, figure.high) <= figure.worst
        assert figure.source or figure.certainty in (costs.Certainty.ASSUMED, costs.Certainty.DERIVED)


@pytest.mark.parametrize("name", PROFILES)
def test_what_counts_picoseconds_costs_one_picosecond(name: str) -> None:
    table = costs.load(name).prices
    assert [table[prices.INDEX[unit]] for unit in prices.UNIT_PRICED] == [1] * len(prices.UNIT_PRICED)


def test_the_digest_depends_on_every_figure_but_not_on_comments() -> None:
    profile = costs.parse(TEXT)
    assert costs.parse("# a remark\n" + TEXT).digest == profile.digest
    assert costs.parse(TEXT.replace("value = 718", "value = 719")).digest != profile.digest


def test_an_unknown_profile_is_named_with_those_that_exist() -> None:
    with pytest.raises(GraftError, match="G0830") as caught:
        costs.load("sel4-skylark")
    assert "sel4-skylake" in caught.value.diagnostics[0].helps[0]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("schema = 1", "schema = 2", "G0831"),
        ("schema = 1", "schema = ", "G0831"),
        ("hz = 3_400_000_000", 'hz = "fast"', "G0831"),
        ("hz = 3_400_000_000", "hz = 0", "G0832"),
        ("switch = { value = 186, high = 286,", "switch = { value = 186, hi = 286,", "G0831"),
        ("switch = { value = 186, high = 286,", "switch = { value = 186, high = 100,", "G0832"),
        ("switch = { value = 186,", "switch = { value = -186,", "G0832"),
        ("hz = 3_400_000_000", 'hz = 3_400_000_000\nbase = "skylark"', "G0831"),
        ('base = "skylake"', 'base = "skylark"', "G0837"),
        ('base = "skylake"', 'relative_to = "skylark"', "G0830"),
        ('base = "skylake"', "", "G0833"),
        ('caches = "hot"', 'caches = "warm"', "G0831"),
        ("bytes = 0", 'bytes = "none"', "G0831"),
        ('kpti = "off"', 'kpti = "off", smt = "off"', "G0831"),
        ('source = "skybridge", note = "syscall + swapgs"', 'note = "syscall + swapgs"', "G0832"),
        ('certainty = "published", source = "skybridge", note = "syscall', 'note = "syscall', "G0832"),
        ('source = "sel4bench"', 'source = "sel4branch"', "G0832"),
        ('cpu = "Intel Skylake"\nhz', 'cpu = "Intel Haswell"\nhz', "G0836"),
        ("exit = ", "exits = ", "G0831"),
        ("[composites]", "[composite]", "G0831"),
        ("[primitives]", "[parts]\nexit = { value = 1, certainty = 'assumed' }\n[primitives]", "G0832"),
        ("call = { value = 718,", 'call = { value = 9, unit = "times",', "G0838"),
        ('exit = { equation = "null_syscall - entry"', 'exit = { equation = "call - entry"', "G0834"),
        ('exit = { equation = "null_syscall - entry"', 'exit = { equation = "null_syscall -"', "G0834"),
        ('exit = { equation = "null_syscall - entry"', 'exit = { equation = "null_syscall - enter"', "G0834"),
        ('exit = { equation = "null_syscall - entry"', 'exit = { equation = "dispatch_call"', "G0834"),
        ('dispatch_call = { equation = "call - entry - switch - exit"', 'dispatch_call = { equation = "call"', "G0835"),
    ],
)
def test_a_faulty_profile_is_refused_with_its_reason(old: str, new: str, code: str) -> None:
    assert old in TEXT
    assert code_of(TEXT.replace(old, new, 1)) == code


def test_a_missing_price_is_named() -> None:
    with pytest.raises(GraftError, match=r"G0833.*timer_arm"):
        costs.parse(TEXT.replace('base = "skylake"', ""))


def test_the_nearest_file_wins_and_each_figure_says_where_it_stands() -> None:
    profile = costs.load("sel4-skylake")
    assert profile.bases == ("skylake", "common")
    stands = {name: profile.primitives[name].base for name in ("entry", "clock_read", "timer_arm", "native_load")}
    assert stands == {"entry": "", "clock_read": "skylake", "timer_arm": "common", "native_load": "skylake"}
    own = costs.parse(TEXT + "\n[instructions.native]\nload = { value = 4, certainty = 'assumed' }\n")
    assert own.primitives["native_load"].base == ""
    assert own.primitives["native_load"].value < profile.primitives["native_load"].value
    assert own.primitives["native_store"] == profile.primitives["native_store"]


def test_every_base_is_used_and_assumes_or_names_a_processor() -> None:
    used = {base for name in PROFILES for base in costs.load(name).bases}
    assert used == set(inheritance.available())
    for name in PROFILES:
        for figure in costs.load(name).primitives.values():
            assert figure.base != "common" or figure.certainty is costs.Certainty.ASSUMED


def test_the_digest_covers_what_a_base_says(monkeypatch: pytest.MonkeyPatch) -> None:
    before = costs.load("sel4-skylake").digest
    monkeypatch.setattr(inheritance, "figures", lambda data: dearer(figures(data)))
    assert costs.load("sel4-skylake").digest != before


def dearer(kinds: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    if "debit" in kinds["primitives"]:
        kinds["primitives"]["debit"] = kinds["primitives"]["debit"] | {"value": 11}
    return kinds


def test_a_figure_may_be_a_multiple_of_one_of_another_profile_of_the_same_processor() -> None:
    head = TEXT.replace('base = "skylake"', 'base = "skylake"\nrelative_to = "sel4-skylake"')
    slow = costs.parse(head.replace("call = { value = 718,", 'call = { value = 9, low = 8, high = 10, unit = "times",'))
    call = costs.load("sel4-skylake").composites["call"].value
    figure = slow.composites["call"]
    assert (figure.low, figure.value, figure.high) == (8 * call, 9 * call, 10 * call)
    assert code_of(head.replace('"sel4-skylake"\nregister', '"linux-host"\nregister')) == "G0836"


def test_the_users_own_profile_is_found_by_name_before_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    packaged = costs.load("linux-host")
    assert costs.own() == ()
    costs.own_directory().mkdir(parents=True)
    for name in ("linux-host", "mine"):
        (costs.own_directory() / f"{name}.toml").write_text(TEXT.replace('"sel4-skylake"', f'"{name}"'))
    assert costs.own() == ("linux-host", "mine")
    assert costs.load("mine").name == "mine"
    assert costs.load("linux-host").digest != packaged.digest
