"""Records as tables in files: CSV, JSON, and Parquet with the extra `pip install 'grafting[parquet]'`.

A record is nested plain data; a column is a path through it, "latency_ns.p50", and the two ends of an interval are two
columns, "p50_band_ns.low" and "p50_band_ns.high". A file is written beside its place and then renamed, so whoever reads
it sees the old table or the new one.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grafting.diagnostics import fail

Record = Mapping[str, Any]
ENDINGS = (".csv", ".json", ".parquet")


def flat(values: Record, prefix: str = "") -> dict[str, Any]:
    """Return nested data as columns."""
    columns: dict[str, Any] = {}
    for key, value in values.items():
        match value:
            case dict():
                columns |= flat(value, f"{prefix}{key}.")
            case [float() | int() as low, float() | int() as high]:
                columns |= {f"{prefix}{key}.low": low, f"{prefix}{key}.high": high}
            case list():
                columns |= flat({str(number): each for number, each in enumerate(value)}, f"{prefix}{key}.")
            case _:
                columns[prefix + key] = value
    return columns


def to_csv(records: Sequence[Record]) -> str:
    """Return one line a record under the names of all columns; nothing where a record has no such column."""
    rows = [flat(record) for record in records]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def require(path: Path) -> None:
    """Make sure that a table can be written into `path`, before the work that it will show.

    Raises GraftError G0865 for an ending that is none of `ENDINGS`, G0866 if Parquet's library is not installed.
    """
    if path.suffix not in ENDINGS:
        raise fail("G0865", f"no table can be written as `{path.name}`", helps=(f"use one of {', '.join(ENDINGS)}",))
    if path.suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ModuleNotFoundError as error:
            raise fail("G0866", "Parquet needs pyarrow", helps=("pip install 'grafting[parquet]'",)) from error


def write(records: Sequence[Record], path: Path) -> None:
    """Write records into `path`, whose ending chooses the format. Raises as `require` does, or OSError."""
    require(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        match path.suffix:
            case ".csv":
                beside.write_text(to_csv(records), encoding="utf-8", newline="")
            case ".json":
                beside.write_text(json.dumps(list(records), indent=1) + "\n", encoding="utf-8")
            case _:
                _write_parquet(records, beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _write_parquet(records: Sequence[Record], path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = [flat(record) for record in records]
    names = list(dict.fromkeys(key for row in rows for key in row))
    columns = {name: _column([row.get(name) for row in rows]) for name in names}
    parquet.write_table(pa.table(columns), path)


def _column(values: list[Any]) -> list[Any]:
    """Return a column of one type: whole numbers beside others become real ones."""
    if any(isinstance(value, float) for value in values):
        return [float(value) if isinstance(value, int) and not isinstance(value, bool) else value for value in values]
    return values
