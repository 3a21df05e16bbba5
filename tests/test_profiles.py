"""Cost profiles: published wholes are reassembled exactly, and nothing uncertain passes for known."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cli
from grafting import GraftError
from kernel_model import costs
from kernel_model.core import prices
from kernel_model.costs import inheritance, listing
from kernel_model.costs.inheritance import figures
from kernel_model.kernel import Kernel

PROFILES = costs.available()
TEXT = resources.files("kernel_model.costs").joinpath("profiles", "sel4-skylake.toml").read_text(encoding="utf-8")

# What was published, in the cycles of each processor: kept apart from the profiles' files, so that neither can drift.
PUBLISHED_CYCLES = {
    "sel4-skylake": {
        "call": 718, "reply": 576, "notify_waiter": 753, "interrupt_to_user": 1638, "null_syscall": 181,
        "syscall_instruction": 82, "swapgs": 26, "sysret_instruction": 75, "page_table_write": 186,
    },
    "sel4-skylake-kpti": {"null_syscall": 431, "null_syscall_open": 181, "call": 718, "reply": 576},
    "sel4-skylake-cold": {"call": 718, "reply": 576, "notify_waiter": 753, "interrupt_to_user": 1638},
    "sel4-haswell": {"call": 775, "reply": 646, "notify_waiter": 1485, "interrupt_to_user": 1665},
    "sel4-a57": {"call": 413, "reply": 426, "notify_waiter": 1053, "interrupt_to_user": 890},
    "sel4-u54": {"call": 694, "reply": 740, "notify_waiter": 1192, "interrupt_to_user": 798},
    "l4re-n1": {"call": 399, "reply": 399, "call_within": 257, "kernel_call": 142},
    "l4re-n100": {"call": 1388, "reply": 1388, "call_within": 622, "kernel_call": 188},
}  # fmt: skip
PUBLISHED_NS = {
    "xrp": {"crossing": 351, "system_call": 199, "file_system": 2006, "block_layer": 379, "driver": 113,
            "device": 3224},
}  # fmt: skip


def code_of(text: str) -> str:
    with pytest.raises(GraftError) as caught:
        costs.parse(text)
    return caught.value.diagnostics[0].code


@pytest.mark.parametrize("name", PROFILES)
def test_every_composite_is_the_sum_of_its_primitives_to_the_picosecond(name: str) -> None:
    profile = costs.load(name)
    for values in corners(profile):
        for composite in profile.composites.values():
            assert composite.equation is not None
            assert sum(c * values[term] for c, term in composite.equation.terms) == values[composite.name]


def corners(profile: costs.Profile) -> Iterator[dict[str, int]]:
    """Yield all figures by name, ps, with each uncertain figure at either end, and with all at their value."""
    figures = {**profile.composites, **profile.parts, **profile.primitives}
    yield {name: figure.value for name, figure in figures.items()}
    for name in profile.uncertain:
        for end in (figures[name].low, figures[name].high):
            values: dict[str, int] = {}
            for figure in figures.values():
                valued(figures, figure.name, name, end, values)
            yield values


def valued(figures: dict[str, costs.Figure], name: str, moved: str, end: int, values: dict[str, int]) -> int:
    """Work out one figure from given ones, as the file says, with the figure `moved` at `end`."""
    figure = figures[name]
    if name not in values:
        given = figure.equation is None or name in COMPOSITES
        values[name] = (
            (end if name == moved else figure.value)
            if given or figure.equation is None
            else sum(c * valued(figures, term, moved, end, values) for c, term in figure.equation.terms)
        )
    return values[name]


COMPOSITES = {name for profile in PROFILES for name in costs.load(profile).composites}
"""Figures that are given although they have an equation."""


@pytest.mark.parametrize("name", PROFILES)
def test_the_prices_move_with_an_uncertain_figure_as_the_file_says(name: str) -> None:
    profile = costs.load(name)
    for values, (moved, ends) in zip(list(corners(profile))[1::2], profile.uncertain.items(), strict=True):
        table = profile.prices
        for row, ps in ends.low.items():
            table[row] += ps
        assert {n: int(table[prices.INDEX[n]]) for n in profile.primitives} == {
            n: values[n] for n in profile.primitives
        }, moved


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


@pytest.mark.parametrize("name", PUBLISHED_CYCLES)
def test_what_was_published_in_cycles_comes_out_in_cycles(name: str) -> None:
    profile = costs.load(name)
    for figure, cycles in PUBLISHED_CYCLES[name].items():
        assert round(_reassembled(profile, figure) * profile.hz / 10**12, 2) == cycles


@pytest.mark.parametrize("name", PUBLISHED_NS)
def test_what_was_published_in_time_comes_out_as_time(name: str) -> None:
    profile = costs.load(name)
    for figure, ns in PUBLISHED_NS[name].items():
        assert _reassembled(profile, figure) == ns * 1000


def _reassembled(profile: costs.Profile, name: str) -> int:
    """Return a composite as the sum of its parts' values, ps; a part as itself."""
    figures = {**profile.composites, **profile.parts, **profile.primitives}
    equation = figures[name].equation
    if name not in profile.composites or equation is None:
        return figures[name].value
    return sum(c * figures[term].value for c, term in equation.terms)


def test_a_round_trip_of_1993_is_what_was_published() -> None:
    for name, us in (("l3-1993", 5), ("mach-1993", 100)):
        profile = costs.load(name)
        assert _reassembled(profile, "call") + _reassembled(profile, "reply") == us * 10**6


def test_what_is_known_only_in_relation_is_a_multiple_with_an_interval() -> None:
    sel4 = costs.load("sel4-skylake").composites["call"].value
    zircon, fiasco = (costs.load(name).composites["call"] for name in ("zircon", "fiasco"))
    assert zircon.low < zircon.value == 9 * sel4 < zircon.high
    assert fiasco.low == 2 * sel4 < fiasco.value < fiasco.high


def test_a_mitigation_makes_every_crossing_dearer_by_what_the_empty_call_is() -> None:
    plain, mitigated = costs.load("sel4-skylake"), costs.load("sel4-skylake-kpti")
    added = mitigated.composites["null_syscall"].value - plain.composites["null_syscall"].value
    crossing = [sum(p.primitives[name].value for name in ("entry", "exit")) for p in (plain, mitigated)]
    assert crossing[1] - crossing[0] == added > 0


def test_a_listing_shows_every_figure_its_certainty_and_where_it_stands() -> None:
    profile = costs.load("sel4-skylake-kpti")
    text = listing.show(profile)
    for figure in (*profile.composites.values(), *profile.parts.values(), *profile.primitives.values()):
        (line,) = (line for line in text.splitlines() if line.split()[:1] == [figure.name])
        assert figure.certainty.value in line
        assert f"({figure.base})" in line or not figure.base
        assert f"= {figure.equation}" in line or not figure.equation
    assert profile.digest in text
    assert all(source in text for source in profile.sources.values())
    assert len(listing.overview(PROFILES).splitlines()) == 1 + len(PROFILES)


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
    assert used >= set(inheritance.names_in("bases"))
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


@pytest.mark.parametrize("name", PROFILES)
def test_a_round_trip_of_the_model_takes_exactly_a_call_and_a_reply(name: str) -> None:
    profile = costs.load(name)
    kernel = Kernel(profile, engine="python")
    server = kernel.server("server", service_ns=0)
    client = kernel.client("client")
    jobs = kernel.jobs(client, slot=server, op=0, bodies=b"", count=2)
    kernel.run()
    client.run()
    kernel.run()
    results = jobs.results()
    parts = ("entry", "dispatch_call", "switch", "exit", "entry", "dispatch_reply", "switch", "exit")
    beside = ("hook_check", "hook_check", "prepare")
    taken = int(results["finished"][1] - results["finished"][0])
    assert taken == sum(profile.primitives[name].value for name in (*parts, *beside))


def test_the_command_lists_all_profiles_and_shows_each_figure_of_one() -> None:
    listed = CliRunner().invoke(cli.main, ["profile", "list"])
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:]] == list(PROFILES)
    shown = CliRunner().invoke(cli.main, ["profile", "show", "zircon"])
    assert "published comparisons" in shown.stdout
    data = json.loads(CliRunner().invoke(cli.main, ["profile", "show", "zircon", "--output-format", "json"]).stdout)
    assert data["sha256"] == costs.load("zircon").digest
    assert data["primitives"].keys() == costs.load("zircon").primitives.keys()
    assert CliRunner().invoke(cli.main, ["profile", "show", "zirkon"]).exit_code == 1


def test_the_profile_on_the_page_is_one() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "profiles.md").read_text()
    example = page.split("```toml\n")[1].split("```")[0]
    profile = costs.parse(example)
    assert profile.primitives["dispatch_call"].low >= 0
    assert profile.primitives["native_mul"].base == ""
    assert profile.primitives["native_div"].base == "common"
    for name in re.findall(r"`(sel4-skylake[-a-z]*|zircon|fiasco)`", page):
        assert name in PROFILES
