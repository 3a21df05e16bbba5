"""Theorems about the grammar, and what is said of texts that are not in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from grafting import limits, syntax
from grafting.diagnostics import Diagnostic, GraftError, Source
from grafting.parsing import grammar
from grafting.parsing.lexer import HARD_WORDS, SIGNS, SOFT_WORDS, scan
from grafting.parsing.mistakes import expected
from grafting.parsing.parse import decode, parse

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "parse_errors.yaml").read_text())
SAMPLES = sorted((Path(__file__).resolve().parents[1] / "samples").glob("*.graft"))


def tree_of(text: str) -> syntax.Graft:
    return parse(Source("t.graft", text))


def item(text: str) -> syntax.Item:
    (only,) = tree_of(f"graft t\n{text}").items
    return only


def statements(text: str) -> tuple[syntax.Stmt, ...]:
    function = item(f"fn f() {{ {text} }}")
    assert isinstance(function, syntax.Function)
    return function.body.statements


def value(text: str) -> syntax.Expr:
    (let,) = statements(f"let x = {text}")
    assert isinstance(let, syntax.Let)
    return let.value


def errors(text: str | bytes) -> tuple[Diagnostic, ...]:
    with pytest.raises(GraftError) as caught:
        parse(decode(text, "t.graft") if isinstance(text, bytes) else Source("t.graft", text))
    return caught.value.diagnostics


def summary(diagnostic: Diagnostic) -> str:
    span = diagnostic.primary.span
    return f"{diagnostic.code} {span.line}:{span.column}"


# --- mistakes, as data -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"].replace(" ", "_"))
def test_mistake_is_explained(case: dict[str, object]) -> None:
    text = f"graft t\n{case['source']}"
    wanted = case["errors"]
    assert isinstance(wanted, list)
    if not wanted:
        tree_of(text)
        return
    found = errors(text)
    assert [summary(d) for d in found] == [" ".join(line.split()[:2]) for line in wanted]
    for diagnostic, line in zip(found, wanted, strict=True):
        assert line.split(" ", 2)[2] in diagnostic.message
    assert str(case.get("help", "")) in " ".join(found[0].helps)


# --- limits ----------------------------------------------------------------------------------------------------------


def test_text_beyond_the_limit_is_refused_unread() -> None:
    (found,) = errors("graft t\n" + " " * limits.SOURCE_BYTES)
    assert found.code == "G0101"
    (found,) = errors(b"graft t\n" + b" " * limits.SOURCE_BYTES)
    assert found.code == "G0101"


def test_the_limit_counts_bytes_not_characters() -> None:
    comment = "graft t\n// " + "é" * (limits.SOURCE_BYTES // 2 - 8)
    assert len(comment) < limits.SOURCE_BYTES
    assert tree_of(comment).items == ()
    assert errors(comment + "éééééé")[0].code == "G0101"


def test_bytes_that_are_not_utf8_are_refused_with_their_line() -> None:
    (found,) = errors(b"graft t\n\xff")
    assert found.code == "G0102"
    assert "0xff in line 2" in found.message


def test_nul_and_lone_surrogates_are_refused() -> None:
    assert [summary(d) for d in errors("graft t\n// \0")] == ["G0103 2:4"]
    assert [summary(d) for d in errors("graft t\n// \ud800")] == ["G0102 2:4"]


@pytest.mark.parametrize("opening", ["(", "[", "f("])
def test_nesting_beyond_the_limit_is_refused(opening: str) -> None:
    closing = ")" if "(" in opening else "]"
    within = limits.SOURCE_NESTING
    assert value_of_const(opening * within + "1" + closing * within)
    (found,) = errors(f"graft t\nconst x = {opening * (within + 1)}1{closing * (within + 1)}")
    assert found.code == "G0104"


def value_of_const(text: str) -> syntax.Expr:
    const = item(f"const x = {text}")
    assert isinstance(const, syntax.Const)
    return const.value


@pytest.mark.parametrize(
    "text",
    [
        "const x = " + "-" * 300 + "1",
        "const x = 1" + " + 1" * 300,
        "const x = 1" + " as u64" * 300,
        "const x = a" + ".b" * 300,
        "const x = a" + "[1]" * 300,
        "fn f() { if a { }" + " else if a { }" * 300 + " }",
    ],
    ids=["prefixes", "operators", "casts", "members", "indices", "else if"],
)
def test_a_deep_tree_without_brackets_is_refused(text: str) -> None:
    (found,) = errors(f"graft t\n{text}")
    assert found.code == "G0112"


def test_errors_are_bounded() -> None:
    text = "graft t\n" + "fn f() { x++ }\n" * 100
    assert len(errors(text)) == limits.DIAGNOSTICS_MAX


def test_errors_come_in_the_order_of_the_text() -> None:
    found = errors("graft t\nfn f() { 1 }\nfn g() { x++ }\nfn h() { (a).b.c() = 1 3 }\nconst z = 1u8")
    assert len(found) > 3
    assert [d.primary.span.start for d in found] == sorted(d.primary.span.start for d in found)


def test_a_file_without_its_first_line_is_told_so() -> None:
    for text in ("", "\n", "// nothing", "state x: u64"):
        assert [d.code for d in errors(text)] == ["G0106"]


# --- grammar ---------------------------------------------------------------------------------------------------------


def test_operators_bind_as_in_rust() -> None:
    assert value("a + b * c == d & e") == value("((a + (b * c)) == (d & e))")
    assert value("a | b ^ c & d << e + f * g") == value("a | (b ^ (c & (d << (e + (f * g)))))")
    assert value("a || b && c < d | e") == value("a || (b && (c < (d | e)))")


def test_operators_group_to_the_left() -> None:
    assert value("a - b - c") == value("(a - b) - c")
    assert value("a / b * c % d") == value("((a / b) * c) % d")


def test_prefixes_bind_before_casts_and_casts_before_operators() -> None:
    assert value("-a as u32 * b") == value("((-a) as u32) * b")
    assert value("!a.b[1]") == value("!(a.b[1])")
    assert value("msg.body as T at 8 + 8") == value("(msg.body as T at 8) + 8")


def test_a_statement_is_as_long_as_it_can_be() -> None:
    assert len(statements("let a = b\n-c")) == 1
    assert len(statements("let a = b c = 3")) == 2
    assert len(statements("return a b = 3")) == 2


def test_a_block_behind_a_condition_is_no_struct_literal() -> None:
    (statement,) = statements("if a == b { }")
    assert isinstance(statement, syntax.If)
    (statement,) = statements("if (Node { }) == b { }")
    assert isinstance(statement, syntax.If)
    assert isinstance(statement.condition, syntax.Binary)
    assert isinstance(statement.condition.left, syntax.StructLiteral)


def test_a_value_may_end_the_else_of_a_let_and_nothing_else() -> None:
    (let,) = statements("let a = m[1] else { f() 7 }")
    assert isinstance(let, syntax.Let)
    assert let.otherwise is not None
    assert let.otherwise.value == syntax.IntLiteral(7)
    assert errors("graft t\nfn f() { if a { 7 } }")[0].code == "G0110"


@pytest.mark.parametrize("word", sorted(SOFT_WORDS))
def test_soft_words_are_names(word: str) -> None:
    assert value(f"{word} + {word}.{word}") == syntax.Binary(
        "+", syntax.Name(word), syntax.Member(syntax.Name(word), syntax.Ident(word))
    )
    assert statements(f"{word} = 1 {word}[0] = 2")[0] == syntax.Assign(syntax.Name(word), "", syntax.IntLiteral(1))
    item(f"struct S {{ {word}: u64 }}")
    item(f"protocol p {{ op {word}({word}: u64) }}")
    item(f"fn {word}({word}: u64) {{ }}")


@pytest.mark.parametrize("word", sorted(HARD_WORDS))
def test_hard_words_are_names_only_where_nothing_else_can_stand(word: str) -> None:
    assert isinstance(value(f"a.{word}"), syntax.Member)
    item(f"struct S {{ {word}: u64 }}")
    assert errors(f"graft t\nfn f() {{ let {word} = 3 }}")


def test_clauses_and_names_of_the_same_spelling_do_not_disturb_each_other() -> None:
    (send, _) = statements("send a.b(1) tag tag deadline deadline else { } tag = 2")
    assert isinstance(send, syntax.Send)
    assert (send.tag, send.deadline) == (syntax.Name("tag"), syntax.Name("deadline"))
    (loop,) = statements("for max in max..limit max max { }")
    assert isinstance(loop, syntax.For)
    assert loop.cap == syntax.Name("max")


def test_a_verdict_is_a_verdict_only_in_a_handler() -> None:
    handler = item("on reply(msg) { return deliver }")
    assert isinstance(handler, syntax.On)
    assert handler.body.statements == (syntax.Return(syntax.Verdict("deliver")),)
    assert statements("return deliver") == (syntax.Return(syntax.Name("deliver")),)
    assert statements("return answer + 1")[0] == syntax.Return(
        syntax.Binary("+", syntax.Name("answer"), syntax.IntLiteral(1))
    )


def test_doc_comments_belong_to_what_follows_them() -> None:
    tree = tree_of("/// one\n/// two\ngraft t\n/// a state\nstate n: u64\n//// no doc\nstate m: u64")
    assert tree.doc == "one\ntwo"
    assert [getattr(state, "doc", None) for state in tree.items] == ["a state", ""]


def test_every_node_knows_its_place() -> None:
    text = "graft t\nfn f() {\n    let x = a + b.c[3]\n}"
    (function,) = tree_of(text).items
    assert isinstance(function, syntax.Function)
    (let,) = function.body.statements
    assert isinstance(let, syntax.Let)
    assert isinstance(let.value, syntax.Binary)
    for node, spelling in ((let, "let x = a + b.c[3]"), (let.value, "a + b.c[3]"), (let.value.right, "b.c[3]")):
        assert text[node.span.start : node.span.end] == spelling
    assert (let.span.line, let.span.column) == (3, 5)


def test_line_ends_of_other_systems_do_not_matter() -> None:
    text = "graft t\n// a comment\nfn f() {\n    let x = 1\n}\n"
    assert tree_of(text.replace("\n", "\r\n")) == tree_of("\ufeff" + text) == tree_of(text)


def test_every_sign_and_word_is_one_token() -> None:
    for sign, terminal in SIGNS.items():
        assert [token.type for token in scan(Source("t", sign)).tokens] == [terminal]
    for word in HARD_WORDS | SOFT_WORDS:
        assert [token.type for token in scan(Source("t", word)).tokens] == [word.upper()]


def test_lexer_and_grammar_have_the_same_words() -> None:
    terminals = {str(terminal.name) for terminal in grammar.parser().terminals}
    assert terminals - set(SIGNS.values()) - {"NAME", "INT", "STRING", "UNDERSCORE"} == {
        word.upper() for word in HARD_WORDS | SOFT_WORDS
    }


def test_what_was_expected_is_said_in_few_words() -> None:
    assert expected(frozenset({"NAME", "BRACKET_OPEN"})) == "a type"
    assert len(expected(frozenset(word.upper() for word in HARD_WORDS | SOFT_WORDS)).split(",")) < 8


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_sample_is_named_after_its_file_and_says_where_its_idea_is_from(path: Path) -> None:
    tree = tree_of(path.read_text())
    assert tree.name.name == path.stem
    assert "20" in tree.doc or "19" in tree.doc
    assert sum(isinstance(step, syntax.Test) for step in tree.items) > 2


# --- the saved tables ------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache directory; the parser in memory is forgotten before and after."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    grammar.parser.cache_clear()
    yield tmp_path / "grafting"
    grammar.parser.cache_clear()


def works() -> bool:
    grammar.parser.cache_clear()
    return item("state x: u64") == syntax.State(syntax.Ident("x"), syntax.NamedType("u64"), None)


@contextlib.contextmanager
def unmade(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within this the tables cannot be made, only loaded."""
    with monkeypatch.context() as patch:
        patch.setattr("lark.lark.load_grammar", None)
        yield


@contextlib.contextmanager
def unloaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within this the tables cannot be loaded, only made."""
    with monkeypatch.context() as patch:
        patch.setattr("lark.lark.pickle.load", pytest.fail)
        yield


def test_tables_are_saved_once_and_used_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert works()
    assert [file.name for file in cache.iterdir()] == ["graft.tables"]
    assert cache.stat().st_mode & 0o077 == 0
    with unmade(monkeypatch):
        assert works()


@pytest.mark.parametrize("keep", [0, 100, 10_000])
def test_damaged_tables_are_made_afresh(cache: Path, monkeypatch: pytest.MonkeyPatch, keep: int) -> None:
    assert works()
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:keep])
    assert works()
    with unmade(monkeypatch):
        assert works()


def test_tables_of_another_grammar_are_made_afresh(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert works()
    edited = tmp_path / "edited.lark"
    edited.write_text(grammar.GRAMMAR.read_text() + "\n// edited\n")
    monkeypatch.setattr(grammar, "GRAMMAR", edited)
    with unmade(monkeypatch), pytest.raises(TypeError):
        works()
    assert works()


def test_tables_that_others_may_have_written_are_not_loaded(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert works()
    (file,) = cache.iterdir()
    with unloaded(monkeypatch):
        file.chmod(0o666)
        assert works()
        file.chmod(0o600)
        cache.chmod(0o777)
        assert works()


def test_a_cache_that_is_a_link_is_not_used(cache: Path) -> None:
    elsewhere = cache.parent / "elsewhere"
    elsewhere.mkdir()
    cache.symlink_to(elsewhere)
    assert works()
    assert not list(elsewhere.iterdir())


def test_a_cache_that_cannot_be_made_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for home in (str(file), str(file / "below"), "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", home)
        assert works()
    grammar.parser.cache_clear()


def test_a_field_may_have_the_name_of_a_word_before_an_item() -> None:
    text = "graft g\nconst a = x.for\nprotocol p { }\nfn f() -> u64 { return y.op }\nenum e: u8 { v }"
    tree = parse(Source("t.graft", text))
    assert [type(item).__name__ for item in tree.items] == ["Const", "Protocol", "Function", "Enum"]
