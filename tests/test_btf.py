"""BTF: what is written is read back; whatever is read is bounded and consistent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafting.diagnostics import GraftError
from grafting.objects import btf, btf_ext
from grafting.objects.btf import (
    Array,
    Btf,
    Composite,
    DataSection,
    DeclarationTag,
    Enumeration,
    Function,
    Int,
    Kind,
    Member,
    Plain,
    Prototype,
    Reference,
    Variable,
)
from grafting.objects.btf_describe import Descriptions
from grafting.objects.btf_ext import Ext, FunctionInfo, LineRecord
from grafting.objects.elf import Strings, Where

WHERE = Where("test.o", ".BTF")
COUNT = 8  # types in a generated Btf: references are 0 .. COUNT

names = st.text(alphabet="abcxyz_09 é", max_size=8)
refs = st.integers(0, COUNT)
u32 = st.integers(0, 2**32 - 1)
i32 = st.integers(-(2**31), 2**31 - 1)
short = {"max_size": 3}
types = st.one_of(
    st.builds(Int, names, u32, st.integers(0, 15), st.integers(0, 255), st.integers(0, 255)),
    st.builds(
        Reference,
        st.sampled_from([Kind.POINTER, Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG]),
        refs,
        names,
    ),
    st.builds(Array, refs, refs, u32),
    st.builds(
        Composite,
        st.sampled_from([Kind.STRUCT, Kind.UNION]),
        names,
        u32,
        st.lists(st.builds(Member, names, refs, u32), **short).map(tuple),
        st.booleans(),
    ),
    st.builds(
        Enumeration, st.just(Kind.ENUM), names, u32, st.lists(st.tuples(names, i32), **short).map(tuple), st.booleans()
    ),
    st.builds(
        Enumeration,
        st.just(Kind.ENUM64),
        names,
        u32,
        st.lists(st.tuples(names, st.integers(-(2**63), 2**63 - 1)), **short).map(tuple),
        st.just(True),
    ),
    st.builds(Plain, st.sampled_from([Kind.FORWARD, Kind.FLOAT]), names, u32, st.booleans()),
    st.builds(Prototype, refs, st.lists(st.tuples(names, refs), **short).map(tuple)),
    st.builds(Function, names, refs, st.integers(0, 2)),
    st.builds(Variable, names, refs, st.integers(0, 2)),
    st.builds(DataSection, names, u32, st.lists(st.tuples(refs, u32, u32), **short).map(tuple)),
    st.builds(DeclarationTag, names, refs, i32),
)
btfs = st.lists(types, min_size=COUNT, max_size=COUNT).map(lambda items: Btf(tuple(items)))
lines = st.builds(
    LineRecord,
    st.sampled_from(["graft/a", ".text"]),
    u32,
    names,
    names,
    st.integers(0, 2**22 - 1),
    st.integers(0, 1023),
)
exts = st.builds(
    Ext,
    st.lists(st.builds(FunctionInfo, names, u32, u32), **short).map(tuple),
    st.lists(lines, max_size=6).map(tuple),
)


def sections(types: Btf, ext: Ext) -> tuple[bytes, bytes]:
    strings = Strings()
    written = btf_ext.write(ext, strings)
    return btf.write(types, strings), written


def read_ext(types: bytes, ext: bytes) -> Ext:
    return btf_ext.parse(ext, btf.strings_of(types, WHERE), Where("test.o", ".BTF.ext"))


@given(btfs)
def test_reading_types_undoes_writing(types: Btf) -> None:
    assert btf.parse(btf.write(types, Strings()), WHERE) == types


@given(btfs, exts)
def test_reading_records_undoes_writing(types: Btf, ext: Ext) -> None:
    assert read_ext(*sections(types, ext)) == ext


@given(btfs, exts, st.data())
def test_damaged_sections_are_read_or_refused_and_references_stay_within(
    types: Btf, ext: Ext, data: st.DataObject
) -> None:
    first, second = (bytearray(section) for section in sections(types, ext))
    for section in (first, second):
        for _ in range(data.draw(st.integers(1, 4))):
            section[data.draw(st.integers(0, len(section) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = btf.parse(bytes(first), WHERE)
        read_ext(bytes(first), bytes(second))
    except GraftError as error:
        codes = {diagnostic.code for diagnostic in error.diagnostics}
    else:
        codes = set()
        for number in range(len(found.types) + 2):  # these follow references, cycles included, and always end
            found.size(number), found.name(number), found.resolve(number), Descriptions(found).text(number)
    assert codes <= {"G0530", "G0531"}


@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(GraftError, match="G0530"):
        btf.parse(data, WHERE)
    with pytest.raises(GraftError, match="G0531"):
        btf_ext.parse(data, b"\0", WHERE)


def test_sizes_follow_arrays_names_and_qualifiers() -> None:
    types = Btf(
        (
            Int("u32", 4),
            Array(1, 1, 3),
            Reference(Kind.TYPEDEF, 2, "three"),
            Reference(Kind.CONST, 3),
            Array(4, 1, 5),
            Reference(Kind.POINTER, 5),
            Composite(Kind.STRUCT, "s", 24, (Member("a", 4, 0),)),
        )
    )
    assert [types.size(n) for n in range(8)] == [None, 4, 12, 12, 12, 60, 8, 24]
    assert types.name(4) == "three"
    assert types.name(7) == "s"


def test_types_are_described_in_the_words_of_the_language() -> None:
    types = Btf(
        (
            Int("unsigned int", 4),
            Int("_Bool", 1, 4),
            Array(1, 1, 3),
            Enumeration(Kind.ENUM, "kind", 4, (("leaf", 0), ("in ner", 1)), True),
            Composite(Kind.UNION, "u", 8, ()),
            Reference(Kind.POINTER, 7),
            Composite(
                Kind.STRUCT,
                "node",
                40,
                (
                    Member("a", 3, 0),
                    Member("k", 4, 96),
                    Member("u", 5, 128),
                    Member("next", 6, 192),
                    Member("", 2, 256),
                ),
            ),
            Int("__int128", 16),
        )
    )
    described = Descriptions(types)
    assert [described.text(n) for n in (1, 2, 7, 8)] == ["u32", "bool", "node", "[u8; 16]"]
    assert described.found == {
        "kind": {"enum": "i32", "variants": [["leaf", 0]]},
        "node": {
            "struct": [["a", "[u32; 3]", 0], ["k", "kind", 12], ["u", "[u8; 8]", 16], ["next", "u64", 24]],
            "size": 40,
        },
    }


def test_cycles_of_types_have_no_size_and_no_name() -> None:
    types = Btf((Reference(Kind.CONST, 2), Reference(Kind.VOLATILE, 1), Array(3, 3, 2)))
    assert types.size(1) is None
    assert types.size(3) is None
    assert types.name(1) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: b[:10], "header of 24 bytes"),
        (lambda b: b"\0\0" + b[2:], "unknown format"),
        (lambda b: b[:2] + b"\x02" + b[3:], "unknown format"),
        (lambda b: b[:12] + b"\xff\xff\xff\xff" + b[16:], "past the end"),
        (lambda b: b[:-1] + b"x", "begin and end with a NUL"),
        (lambda b: b[:28] + b"\0\0\0\x1f" + b[32:], "unknown kind"),
        (lambda b: b[:24] + b"\xff\0\0\0" + b[28:], "no name at 0xff"),
        (lambda b: b[:32] + b"\x09\0\0\0" + b[36:], "type number 9 of 1"),
    ],
)
def test_each_damage_of_types_is_named(change, words: str) -> None:  # type: ignore[no-untyped-def]
    whole = btf.write(Btf((Reference(Kind.CONST, 1),)), Strings())
    with pytest.raises(GraftError, match=words):
        btf.parse(change(whole), WHERE)


def test_shared_long_texts_are_cut_so_that_their_sum_is_bounded() -> None:
    text = "x" * 5000
    ext = Ext(lines=tuple(LineRecord("s", 8 * n, "f", text, 1, 1) for n in range(3)))
    found = read_ext(*sections(Btf(()), ext))
    assert [len(line.text) for line in found.lines] == [1024] * 3
