"""graft.h and docs/abi.md say what the ABI table says; C grafts compile, load and verify."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from grafting import abi_page, header, hooks
from grafting.diagnostics import GraftError
from grafting.objects import declarations
from grafting.objects.object_file import load
from grafting.program import Program

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(__file__).parent / "data"

CLANG = shutil.which("clang")
needs_clang = pytest.mark.skipif(CLANG is None, reason="clang is not installed")


def compiled(source: str, tmp_path: Path, *options: str) -> Program:
    """Return a C program, compiled by clang for BPF."""
    assert CLANG is not None
    file, out = tmp_path / "graft.c", tmp_path / "graft.o"
    file.write_text(source)
    command = [CLANG, "--target=bpfel", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror", *options]
    subprocess.run([*command, "-I", str(header.PATH.parent), "-c", str(file), "-o", str(out)], check=True)
    return load(out.read_bytes(), str(out))


def test_the_committed_header_is_the_generated_one() -> None:
    assert header.PATH.read_text() == header.text(), "run: python -m grafting.header > grafting/include/graft.h"


def test_the_committed_page_is_the_generated_one() -> None:
    page = ROOT / "docs" / "abi.md"
    assert page.read_text() == abi_page.text(), "run: python -m grafting.abi_page > docs/abi.md"


def test_the_header_is_in_the_wheel() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert header.PATH.relative_to(ROOT).parts[0] in wheel["only-include"]


@pytest.mark.parametrize("helper", hooks.HELPERS.values(), ids=lambda helper: helper.name)
def test_every_helper_names_its_parameters_and_is_declared(helper: hooks.Helper) -> None:
    assert len(helper.params) == len(helper.args)
    assert f"graft_{helper.name})(" in header.text()
    assert f"(void *){helper.number};" in header.text()


def test_records_have_no_gaps_in_natural_alignment() -> None:
    for record in declarations.RECORDS:
        offset = 0
        for _, size in record.fields:
            alignment = size if size in (4, 8) else 1
            assert offset % alignment == 0
            offset += size
        assert offset % 8 == 0


@needs_clang
def test_the_header_compiles_without_warnings_as_c11_and_c23(tmp_path: Path) -> None:
    for standard in ("-std=gnu11", "-std=gnu2x"):
        source = '#include "graft.h"\nGRAFT_ON(timer) u64 f(const struct graft_context *c) { return c->tag * 0; }\n'
        compiled(source, tmp_path, standard)


@needs_clang
def test_clang_makes_the_committed_object_anew(tmp_path: Path) -> None:
    anew = compiled((DATA / "follow.c").read_text(), tmp_path)
    kept = load((DATA / "follow.o").read_bytes())
    assert (anew.slots, anew.maps) == (kept.slots, kept.maps)
    assert [(h.name, h.budget) for h in anew.handlers] == [(h.name, h.budget) for h in kept.handlers]


EVERYTHING = """
#include "graft.h"
struct key { u64 id; };
struct row { u32 a[4]; };
GRAFT_OP(kv, get, 0, struct key, struct row);
GRAFT_OP_BYTES(kv, put, 1, 8, 64);
GRAFT_SLOT(store, 0, kv, GRAFT_SEND);
GRAFT_SLOT(peer, 1, kv, GRAFT_SEND | GRAFT_GRANT);
GRAFT_SERVE(kv);
GRAFT_BUDGET(get, "graft/request/kv.get", 100, 0, GRAFT_NO_LIMIT);
struct { __uint(type, GRAFT_ARRAY); __type(key, u32); __type(value, struct row); __uint(max_entries, 8); } rows
    SEC(".maps");
GRAFT_ON_FROM(request, kv, get) u64 get(const struct graft_context *ctx)
{
    const struct key *key = ctx->data;
    u32 index;
    struct row *row;

    if ((const void *)(key + 1) > ctx->data_end)
        return GRAFT_REQUEST_DROP;
    index = key->id;
    row = graft_map_lookup_elem(&rows, &index);
    if (!row)
        return GRAFT_REQUEST_STEER(peer);
    return graft_answer(0, row, sizeof *row) ? GRAFT_REQUEST_PASS : GRAFT_REQUEST_ANSWERED;
}
GRAFT_ON(timer) u64 tick(const struct graft_context *ctx)
{
    graft_timer_arm(ctx->tag, 1000);
    return GRAFT_TIMER_DONE;
}
"""


@needs_clang
def test_every_macro_of_the_header_arrives_in_the_program(tmp_path: Path) -> None:
    program = compiled(EVERYTHING, tmp_path)
    assert {handler.name for handler in program.handlers} == {"request/kv.get", "timer"}
    assert [(s.name, s.send, s.grant) for s in program.slots] == [("store", True, False), ("peer", True, True)]
    (kv,) = program.serves
    assert [(op.name, op.number, op.request_min, op.request_max, op.reply_bytes) for op in kv.ops] == [
        ("get", 0, 8, 8, 16),
        ("put", 1, 8, 64, 0),
    ]
    budget = program.handler("request/kv.get").budget
    assert (budget.instructions, budget.sends, budget.bytes_sent) == (100, 0, None)
    assert [(m.name, m.value_size, m.max_entries) for m in program.maps] == [("rows", 16, 8)]


@needs_clang
@pytest.mark.parametrize(
    ("source", "code"),
    [
        ('SEC("xdp") u64 f(void *c) { return c != 0; }', "G0520"),
        ('u64 g(u64); SEC("graft/timer") u64 f(struct graft_context *c) { return g(c->tag); }', "G0523"),
        ('extern u64 g; SEC("graft/timer") u64 f(struct graft_context *c) { return g + c->tag; }', "G0523"),
        ("static const char *t[] = {\"a\", \"b\"}; GRAFT_ON(timer) u64 f(struct graft_context *c) "
         "{ return *(volatile char *)t[c->tag & 1]; }", "G0525"),
        ("struct { __uint(type, 5); __uint(max_entries, 1); } m SEC(\".maps\"); GRAFT_ON(timer) "
         "u64 f(struct graft_context *c) { return graft_map_lookup_elem(&m, c) != 0; }", "G0532"),
    ],
)  # fmt: skip
def test_what_c_can_say_and_a_graft_cannot_be_is_refused(source: str, code: str, tmp_path: Path) -> None:
    with pytest.raises(GraftError) as caught:
        compiled(f'#include "graft.h"\n{source}\n', tmp_path)
    assert caught.value.diagnostics[0].code == code


def test_the_committed_object_by_clang_is_verified() -> None:
    verifier = pytest.importorskip("verifier")
    assert verifier.verify(load((DATA / "follow.o").read_bytes(), "follow.o")).program.name == "follow"
