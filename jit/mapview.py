"""A map as people use it: a mapping from typed keys to typed values over the machine's own tables.

    >>> state.maps["wanted"][7] = 42                                # doctest: +SKIP
    >>> state.maps["wanted"][7], state.maps["wanted"].get(8)        # doctest: +SKIP
    (42, None)

Keys and values are what `jit.values` makes of the map's types; bytes of the right length are taken as well. Looking up
an absent key raises KeyError, as in any mapping; storing where there is no place, or past the end of an array, raises
GraftError G0705. An array map has all its keys from the start, and `del` sets its value to zero.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from grafting.diagnostics import fail
from grafting.program import MapKind, MapSpec
from jit import maps
from jit.values import Types, Value


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MapView(MutableMapping[Value, Value]):
    """One map. `row` is its record of `maps.MAP`; `scratch` is the arena offset of room for a key and a value."""

    spec: MapSpec
    arena: npt.NDArray[np.uint8]
    row: Any
    seed: int
    scratch: int
    types: Types

    # --- raw bytes ---------------------------------------------------------------------------------------------------

    def raw(self, key: bytes) -> bytes | None:
        """Return the value under a key of the right length, or None."""
        place = maps.find(self.arena, self.row, self.seed, self._stage(self.scratch, key))
        return None if place < 0 else self._value_at(place)

    def set_raw(self, key: bytes, value: bytes) -> int:
        """Store a value; returns 0 or a negated errno, as helper 2 does. Read-only data are stored to as well."""
        key_at = self._stage(self.scratch, key)
        value_at = self._stage(self.scratch + int(self.row["key_stride"]) + 8, value)
        row = self.row.copy()
        row["read_only"] = 0
        return maps.update(self.arena, row, self.seed, key_at, value_at)

    def raw_items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) for every entry: an array in order, a hash map in order of its keys."""
        if self.spec.kind is MapKind.ARRAY:
            for place in range(self.spec.max_entries):
                yield place.to_bytes(self.spec.key_size, "little"), self._value_at(place)
            return
        entries = []
        for place in range(maps.places(self.row)):
            if self.arena[int(self.row["tags"]) + place]:
                at = int(self.row["keys"]) + place * int(self.row["key_stride"])
                entries.append((self.arena[at : at + self.spec.key_size].tobytes(), self._value_at(place)))
        yield from sorted(entries)

    def _stage(self, at: int, data: bytes) -> int:
        self.arena[at : at + len(data)] = np.frombuffer(data, np.uint8)
        return at

    def _value_at(self, place: int) -> bytes:
        at = int(self.row["values"]) + place * int(self.row["stride"])
        return self.arena[at : at + self.spec.value_size].tobytes()

    # --- typed -------------------------------------------------------------------------------------------------------

    def encode_key(self, key: Value) -> bytes:
        """Return a key as bytes; raises GraftError G0706."""
        return self.types.encode(self.spec.key_type, self.spec.key_size, key, f"a key of `{self.spec.name}`")

    def encode_value(self, value: Value) -> bytes:
        """Return a value as bytes; raises GraftError G0706."""
        return self.types.encode(self.spec.value_type, self.spec.value_size, value, f"a value of `{self.spec.name}`")

    def __getitem__(self, key: Value) -> Value:
        value = self.raw(self.encode_key(key))
        if value is None:
            raise KeyError(key)
        return self.types.decode(self.spec.value_type, value)

    def __setitem__(self, key: Value, value: Value) -> None:
        status = self.set_raw(self.encode_key(key), self.encode_value(value))
        if status == maps.E2BIG:
            raise fail("G0705", f"map `{self.spec.name}` has no place for another key ({len(self)} are in it)")
        if status == maps.ENOENT:
            raise fail("G0705", f"{key} is past the end of `{self.spec.name}`, an array of {self.spec.max_entries}")

    def __delitem__(self, key: Value) -> None:
        encoded = self.encode_key(key)
        if self.raw(encoded) is None:
            raise KeyError(key)
        if self.spec.kind is MapKind.ARRAY:
            self.set_raw(encoded, bytes(self.spec.value_size))
        else:
            maps.delete(self.arena, self.row, self.seed, self._stage(self.scratch, encoded))

    def __iter__(self) -> Iterator[Value]:
        for key, _ in self.raw_items():
            decoded = self.types.decode(self.spec.key_type, key)
            yield decoded if not isinstance(decoded, dict | list) else key  # what can be looked up, and be hashed

    def __repr__(self) -> str:
        return f"<MapView {self.spec.name}: {len(self)} of {self.spec.max_entries}>"

    def __len__(self) -> int:
        if self.spec.kind is MapKind.ARRAY:
            return self.spec.max_entries
        head = int(self.row["head"])
        return int.from_bytes(self.arena[head : head + 8].tobytes(), "little")


def scratch_bytes(spec: MapSpec) -> int:
    """Return the room that a view of a map needs at its `scratch`."""
    return 8 * (-(-spec.key_size // 8) + 1 - (-spec.value_size // 8))
