"""The examples of the documents compile, and those that are errors are the errors that they claim to be.

A block marked `graft` is a whole graft, or stands behind the first block of its document; one without a handler gets
one. A block `graft-error CODE` must be refused with that code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

import grafting
import verifier
from grafting.diagnostics import GraftError, Source
from grafting.parsing.lexer import HARD_WORDS, scan
from jit import testing

ROOT = Path(__file__).resolve().parents[1]
HANDLER = "on submit(op) { return pass }\n"
_BLOCK = re.compile(r"^```(graft|graft-error (G\d{4}))\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Example:
    """A block of a document: `code` is that of the error it shows, `line` its first line in the document."""

    document: Path
    line: int
    code: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.document.stem}-{self.line}"


def examples(document: Path) -> list[Example]:
    text = document.read_text()
    found: list[Example] = []
    for match in _BLOCK.finditer(text):
        body = match[3]
        line = text.count("\n", 0, match.start()) + 2
        words = [token.type for token in scan(Source("", body)).tokens]
        whole = body if words[0] == "GRAFT" else found[0].text.removesuffix(HANDLER) + body
        found.append(Example(document, line, match[2], whole if "ON" in words else whole + HANDLER))
    return found


EXAMPLES = [
    example for path in (*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md") for example in examples(path)
]


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_example_compiles_or_is_the_error_that_it_claims_to_be(example: Example) -> None:
    assert codes(example) == ([example.code] if example.code else [])


def codes(example: Example) -> list[str]:
    try:
        grafting.compile_graft(example.text, filename=str(example))
    except GraftError as error:
        return [diagnostic.code for diagnostic in error.diagnostics]
    return []


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.code is None], ids=str)
def test_the_verifier_accepts_an_example(example: Example) -> None:
    assert verifier.verify(grafting.compile_graft(example.text, filename=str(example))).bounds.instructions > 0


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.code is None and '\ntest "' in e.text], ids=str)
def test_the_tests_of_an_example_pass(example: Example) -> None:
    for result in testing.run_tests(grafting.compile_graft(example.text)):
        assert not result.failures, result.name


def test_the_reference_has_an_example_of_every_word() -> None:
    reference = [example for example in EXAMPLES if example.document.name == "language.md"]
    words = {token.value for example in reference for token in scan(Source("", example.text)).tokens}
    assert not HARD_WORDS - words


def test_the_reference_lists_the_words_that_are_never_names() -> None:
    text = " ".join((ROOT / "docs" / "language.md").read_text().split())
    assert f"`{' '.join(sorted(HARD_WORDS))}`" in text


@pytest.mark.parametrize("document", [ROOT / "README.md"], ids=["README"])
def test_the_python_examples_run(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    examples = re.findall(r"^```python\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
    assert examples
    for text in examples:
        names: dict[str, object] = {}
        exec(compile(text, str(document), "exec"), names)
        results = names["results"]
        assert (results["outcome"] == 0).all()  # type: ignore[index]


def test_the_python_examples_of_the_verifier_page_run() -> None:
    examples = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs" / "verifier.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert examples
    for text in examples:
        exec(compile(text, "docs/verifier.md", "exec"), {})


SHELL = "".join(re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("line", re.findall(r"^(graft [^#\n]*)", SHELL, re.MULTILINE))
def test_the_commands_of_the_readme_work(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from click.testing import CliRunner

    import cli

    words = line.replace("out.svg", str(tmp_path / "out.svg")).replace("1..8", "1..2").split()[1:]
    if words[0] == "build":
        words += ["-o", str(tmp_path / "x.o")]
    monkeypatch.chdir(ROOT)
    assert CliRunner().invoke(cli.main, words).exit_code == 0


COMPARING = (ROOT / "docs" / "compare.md").read_text()
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```$", COMPARING, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("line", re.findall(r"^(graft [^#\n]*)", COMMANDS, re.MULTILINE))
def test_the_commands_of_the_page_on_comparing_work(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With few operations, and one process: what a command means does not depend on either."""
    from click.testing import CliRunner

    import cli

    words = line.replace("samples/", f"{ROOT}/samples/").split()[1:]
    few = ["--operations", "4"] if words[0] == "compare" else ["--jobs", "1"]
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(cli.main, [*words, *few]).exit_code == 0


def test_the_grid_and_the_program_of_the_page_on_comparing_work(tmp_path: Path) -> None:
    from kernel_model.experiments.axes import axes_in, grid

    (text,) = re.findall(r"^```toml\n(.*?)^```$", COMPARING, re.MULTILINE | re.DOTALL)
    (tmp_path / "grid.toml").write_text(text)
    assert len(grid(axes_in(tmp_path / "grid.toml"))) == 16 * 3 * 2 * 3 * 5
    (program,) = re.findall(r"^```python\n(.*?)^```$", COMPARING, re.MULTILINE | re.DOTALL)
    exec(compile(program, "docs/compare.md", "exec"), {})


def test_the_rejections_that_are_shown_are_those_of_the_cases() -> None:
    cases = yaml.safe_load((ROOT / "tests" / "cases" / "rejections.yaml").read_text())
    text = (ROOT / "docs" / "verifier.md").read_text()
    shown = re.findall(r"^```text\n(error\[G06.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert shown
    assert not set(shown) - {case["says"] for case in cases}


def test_the_links_of_the_documents_lead_somewhere() -> None:
    for document in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
