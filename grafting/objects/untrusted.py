"""JSON from strangers, read with a type and a bound for every value.

    top = Value.parse(data, where, "G0540", most=4096)
    size = top["size"].number(0, 65536)      # or a GraftError: `.size` is not a number from 0 to 65536

A `Value` knows its path, so every complaint names the place. Guarantee: whatever the bytes are, `parse` and the
methods return a value of the promised type and size or raise GraftError; floats, NaN and duplicate keys are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from grafting.diagnostics import GraftError
from grafting.objects.elf import Where

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,254}")
_TYPE_NAME = re.compile(r"[A-Za-z0-9_ \[\];.*]{1,255}")
_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_DEPTH = 16  # levels of nesting; ours has seven


class Value:
    """A JSON value, its path from the top and the place and code for errors."""

    __slots__ = ("code", "content", "path", "where")

    def __init__(self, content: Any, path: str, where: Where, code: str) -> None:
        self.content, self.path, self.where, self.code = content, path, where, code

    @staticmethod
    def parse(data: bytes, where: Where, code: str, *, most: int) -> Value:
        """Return the value that `data` describes; raises GraftError `code`."""
        if len(data) > most:
            raise where.error(code, f"{len(data)} bytes of metadata, at most {most}")

        def refuse(text: str) -> NoReturn:
            raise ValueError(f"`{text}` is not an integer")

        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            found = dict(pairs)
            if len(found) != len(pairs):
                raise ValueError("a field is given twice")
            return found

        try:
            text = data.rstrip(b"\0").decode("utf-8", "surrogatepass")
            content = json.loads(
                text, parse_float=refuse, parse_constant=refuse, object_pairs_hook=unique
            )  # ValueError: also UnicodeDecodeError, JSONDecodeError and integers of over 4300 digits
        except (ValueError, RecursionError) as error:
            raise where.error(code, f"malformed metadata: {str(error)[:200]}") from error
        return Value(content, "", where, code)

    def error(self, message: str) -> GraftError:
        """Return an error that names this value."""
        return self.where.error(self.code, f"malformed metadata: `{self.path or '.'}`: {message}")

    def _at(self, content: Any, step: str) -> Value:
        if self.path.count(".") + self.path.count("[") >= _DEPTH:
            raise self.error("nested too deeply")
        return Value(content, self.path + step, self.where, self.code)

    def _object(self) -> dict[str, Any]:
        if not isinstance(self.content, dict):
            raise self.error("not an object")
        return self.content

    def fields(self) -> Iterator[tuple[str, Value]]:
        """Yield the fields of an object."""
        for name, content in self._object().items():
            yield name, self._at(content, f".{name[:64]}")

    def get(self, name: str) -> Value | None:
        """Return a field of an object; None if it is absent or null."""
        content = self._object().get(name)
        return None if content is None else self._at(content, f".{name}")

    def __getitem__(self, name: str) -> Value:
        """Return a field of an object; raises GraftError if it is absent or null."""
        found = self.get(name)
        if found is None:
            raise self.error(f"no field `{name}`")
        return found

    def items(self, most: int) -> list[Value]:
        """Return the elements of a list of at most `most`."""
        if not isinstance(self.content, list):
            raise self.error("not a list")
        if len(self.content) > most:
            raise self.error(f"{len(self.content)} elements, at most {most}")
        return [self._at(content, f"[{index}]") for index, content in enumerate(self.content)]

    def exactly(self, count: int) -> list[Value]:
        """Return the elements of a list of exactly `count`."""
        items = self.items(count)
        if len(items) != count:
            raise self.error(f"{len(items)} elements, not {count}")
        return items

    def number(self, least: int, most: int) -> int:
        """Return an integer from `least` to `most`."""
        if type(self.content) is not int or not least <= self.content <= most:
            raise self.error(f"not an integer from {least} to {most}")
        return self.content

    def flag(self, name: str) -> bool:
        """Return a boolean field of an object, False if absent."""
        found = self.get(name)
        if found is None:
            return False
        if not isinstance(found.content, bool):
            raise found.error("not true or false")
        return found.content

    def text(self, most: int) -> str:
        """Return a text of at most `most` characters."""
        if not isinstance(self.content, str) or len(self.content) > most:
            raise self.error(f"not a text of at most {most} characters")
        return self.content

    def _matching(self, pattern: re.Pattern[str], most: int, what: str) -> str:
        text = self.text(most)
        if not pattern.fullmatch(text):
            raise self.error(f"not {what}")
        return text

    def name(self) -> str:
        """Return an identifier, of letters, digits and `_.-`."""
        return self._matching(_NAME, 255, "a name")

    def label(self) -> str:
        """Return a text to print: 1 to 255 printable characters."""
        text = self.text(255)
        if not text or not text.isprintable():
            raise self.error("not printable text")
        return text

    def type_name(self) -> str:
        """Return the name of a type, such as `[u32; 4]`."""
        return self._matching(_TYPE_NAME, 255, "the name of a type")

    def hex(self, most: int) -> str:
        """Return lower-case hex of at most `most` bytes."""
        return self._matching(_HEX, 2 * most, "bytes in lower-case hex")
