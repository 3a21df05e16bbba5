"""Diagnostics as a SARIF 2.1.0 log: what code-scanning services, editors and dashboards read.

SARIF (OASIS, Static Analysis Results Interchange Format) calls what we call a diagnostic a *result* of a *rule*:

    Diagnostic                       SARIF
    code, title, explanation         tool.driver.rules[]: id, shortDescription, fullDescription, help
    message, label, notes, helps     results[].message, a paragraph each
    primary                          results[].locations[0].physicalLocation.region
    handler, pc                      its logicalLocations, and physicalLocation.address (bytes from the handler's start)
    labels                           results[].relatedLocations
    path                             results[].codeFlows, the place of the diagnostic at the end
    edits                            results[].fixes
    source                           artifacts[]: length and SHA-256 of the text that the regions count in

Columns and offsets count characters, as our spans do (`columnKind` says so). A run that accepts has a log without
results; one that fails before there is anything to judge (a missing file) has a notification. The log says nothing of
the machine: the same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final
from urllib.parse import quote

from grafting import codes, codes_page, render
from grafting.diagnostics import Diagnostic, Label, Severity, Source, Span

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_ROOT: Final = "%SRCROOT%"  # by convention the top of the checked-out tree; relative names are relative to it
_SLOT_BYTES: Final = 8  # of an instruction slot, the unit of `Diagnostic.pc`

Json = dict[str, Any]


def log(
    diagnostics: Iterable[Diagnostic],
    *,
    exit_code: int,
    file: str = "",
    failure: str = "",
    properties: Sequence[Json] = (),
) -> Json:
    """Return the log of one run of the command.

    `exit_code` is the command's exit status; `file` is what it judged, the place of diagnostics that have no source
    text. `failure`, if not empty, says why the run came to no result at all. `properties` are data of our own to add to
    the results, in order of the diagnostics.
    """
    found = tuple(diagnostics)
    artifacts = _Artifacts(file)
    rules = sorted({diagnostic.code for diagnostic in found})
    results = [_result(diagnostic, rules.index(diagnostic.code), artifacts) for diagnostic in found]
    for result, added in zip(results, properties, strict=False):
        result["properties"] = added
    invocation: Json = {"executionSuccessful": not failure, "exitCode": exit_code}
    if failure:
        invocation["toolExecutionNotifications"] = [{"level": "error", "message": _message(failure)}]
    run = {
        "tool": {"driver": _driver(rules)},
        "invocations": [invocation],
        "columnKind": "unicodeCodePoints",
        "artifacts": artifacts.described,
        "results": results,
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


# --- the tool and its rules ------------------------------------------------------------------------------------------


def _driver(rules: Sequence[str]) -> Json:
    version = _version()
    return {"name": "graft", "version": version, "semanticVersion": version, "rules": [_rule(code) for code in rules]}


@cache
def _version() -> str:
    from importlib.metadata import version

    return version("grafting")


def _rule(code: str) -> Json:
    rule: Json = {"id": code, "defaultConfiguration": {"level": "error"}}
    if entry := codes.explain(code):
        rule["shortDescription"] = {"text": entry.title}
        rule["fullDescription"] = {"text": entry.text}
        rule["help"] = {"text": codes_page.terminal(entry)}
    return rule


# --- results ---------------------------------------------------------------------------------------------------------


def _result(diagnostic: Diagnostic, rule: int, artifacts: _Artifacts) -> Json:
    place = _Place(diagnostic, artifacts.location(diagnostic.source))
    result: Json = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": _LEVELS[diagnostic.severity],
        "message": _message("\n\n".join(_paragraphs(diagnostic))),
        "locations": place.locations(),
    }
    if diagnostic.labels:
        result["relatedLocations"] = [
            {"id": number, **place.location(label)} for number, label in enumerate(diagnostic.labels, 1)
        ]
    if diagnostic.path:
        steps = [place.location(label) for label in (*diagnostic.path, diagnostic.primary)]
        for here in result["locations"]:
            steps[-1].update(here)
        result["codeFlows"] = [{"threadFlows": [{"locations": [{"location": step} for step in steps]}]}]
    if diagnostic.edits and (fix := place.fix()):
        result["fixes"] = [fix]
    return result


_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def _paragraphs(diagnostic: Diagnostic) -> Iterable[str]:
    """Yield the message and all that `render.full` says besides; most viewers show nothing else."""
    yield diagnostic.message or diagnostic.code
    if diagnostic.primary.message:
        yield diagnostic.primary.message
    yield from (f"note: {note}" for note in render.notes(diagnostic))
    yield from (f"help: {help_}" for help_ in diagnostic.helps)


def _message(text: str) -> Json:
    """Return a plain text message that means `text` itself: no placeholder `{0}`, no link `[..](..)` (SARIF 3.11)."""
    return {"text": text.replace("{", "{{").replace("}", "}}").replace("](", "] (")}


# --- places ----------------------------------------------------------------------------------------------------------


class _Artifacts:
    """What a run looked at, each thing described once."""

    def __init__(self, file: str) -> None:
        self.described: list[Json] = []
        self._file = file
        self._index: dict[Source, int] = {}

    def location(self, source: Source | None) -> Json:
        """Return the `artifactLocation` of a text, of the run's file if there is none; empty if there is neither."""
        source = source or Source(self._file, "")
        if not source.filename:
            return {}
        location = _uri(source.filename)
        if source not in self._index:
            self._index[source] = len(self.described)
            self.described.append({"location": location, **_content(source.text)})
        return {**location, "index": self._index[source]}


def _uri(filename: str) -> Json:
    """Return the URI of a file; what is relative is so to the directory in which the command ran."""
    name = posixpath.normpath(filename) if filename else ""
    path = quote(name, safe="/", errors="surrogatepass")
    if name.startswith("/"):
        return {"uri": f"file://{path}"}
    return {"uri": path} if name.startswith("../") else {"uri": path, "uriBaseId": _ROOT}


def _content(text: str) -> Json:
    """Return what identifies the source text that places count in; nothing of bytecode."""
    if not text:
        return {}
    data = text.encode("utf-8", "surrogatepass")
    return {
        "sourceLanguage": "graft",
        "encoding": "utf-8",
        "length": len(data),
        "hashes": {"sha-256": hashlib.sha256(data).hexdigest()},
    }


class _Place:
    """Where a diagnostic and its labels are: in its source text, in the bytecode of its handler, or in neither."""

    def __init__(self, diagnostic: Diagnostic, artifact: Json) -> None:
        self._diagnostic = diagnostic
        self._artifact = artifact
        self._lines = diagnostic.source.text.split("\n") if diagnostic.source else []

    def locations(self) -> list[Json]:
        """Return the place of the diagnostic, if it has one."""
        location: Json = {}
        if physical := self._physical(self._diagnostic.primary.span) | self._address():
            location["physicalLocation"] = physical
        if handler := self._diagnostic.handler:
            location["logicalLocations"] = [{"name": handler, "fullyQualifiedName": handler, "kind": "function"}]
        return [location] if location else []

    def location(self, label: Label) -> Json:
        """Return the place of a label with what it says."""
        location: Json = {}
        if physical := self._physical(label.span):
            location["physicalLocation"] = physical
        if label.message:
            location["message"] = _message(label.message)
        return location

    def fix(self) -> Json:
        """Return the diagnostic's edits, or nothing if one of them has no place."""
        replacements = [
            {"deletedRegion": self._region(edit.span), "insertedContent": {"text": edit.text}}
            for edit in self._diagnostic.edits
        ]
        if not self._artifact or not all(replacement["deletedRegion"] for replacement in replacements):
            return {}
        fix: Json = {"artifactChanges": [{"artifactLocation": self._artifact, "replacements": replacements}]}
        if self._diagnostic.helps:
            fix["description"] = _message(self._diagnostic.helps[0])
        return fix

    def _physical(self, span: Span) -> Json:
        if not self._artifact:
            return {}
        region = self._region(span)
        return {"artifactLocation": self._artifact} | ({"region": region} if region else {})

    def _region(self, span: Span) -> Json:
        """Return a span, cut to the text that is there, in lines and columns and in characters; empty if none is."""
        if not 0 < span.line <= len(self._lines):
            return {}
        column = min(max(span.column, 1), len(self._lines[span.line - 1]) + 1)
        start = self._offset(span.line, column)
        length = max(span.end - span.start, 0)
        end = render.positions(self._lines, Span(span.line, column, start, start + length))["end"]
        return {
            "startLine": span.line,
            "startColumn": column,
            "endLine": end["line"],
            "endColumn": end["column"],
            "charOffset": start,
            "charLength": self._offset(end["line"], end["column"]) - start,
        }

    def _offset(self, line: int, column: int) -> int:
        return sum(len(text) + 1 for text in self._lines[: line - 1]) + column - 1

    def _address(self) -> Json:
        pc = self._diagnostic.pc
        if pc is None:
            return {}
        name = f"{self._diagnostic.handler or 'code'}+{pc}"
        return {"address": {"relativeAddress": pc * _SLOT_BYTES, "name": name, "kind": "instruction"}}
