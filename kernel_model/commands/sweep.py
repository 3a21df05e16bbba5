"""`graft sweep`: every point of a grid, on all cores or a cluster, into a table; a killed sweep goes on."""

from __future__ import annotations

from pathlib import Path

import click

from grafting.terminal import REJECTED, progress
from kernel_model.experiments.axes import Value, axes_in, axis, grid


@click.command()
@click.argument("axes", nargs=-1, metavar="[FIELD=VALUES]...")
@click.option("--grid", "file", type=click.Path(path_type=Path), help="A TOML file of fields and their values.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Table: .csv, .json or .parquet.")
@click.option("--jobs", type=click.IntRange(1), help="Processes; default: one for each core.")
@click.option("--cluster", metavar="tcp://HOST:PORT", help="A Dask scheduler, whose workers run the points instead.")
def sweep(axes: tuple[str, ...], file: Path | None, output: Path, jobs: int | None, cluster: str | None) -> None:
    """Run every point of a grid and write a table, one line a point.

    An axis is a field of a point and its values: hops=1..16 work=100,200,400 load=10k..1Mx2 mechanism=call,graft
    seed=1..10. Fields that are not named keep their defaults; `mechanism` is by default every one.

    Results are appended to OUTPUT.journal point by point. A sweep that was killed goes on there; one with further
    values runs only what is new. A point that cannot be run is in the table with its error, and the exit status is 1.
    """
    from kernel_model.experiments import sweep as sweeping
    from kernel_model.experiments.workers import workers
    from kernel_model.mechanisms import BY_NAME
    from kernel_model.results import tabular

    tabular.require(output)
    chosen: dict[str, tuple[Value, ...]] = {**(axes_in(file) if file else {}), **dict(map(axis, axes))}
    points = grid({**chosen, "mechanism": chosen.get("mechanism", tuple(BY_NAME))})
    journal = output.with_name(f"{output.name}.journal")
    with workers(jobs, cluster) as pool, progress(len(points)) as advance:
        failed = sweeping.sweep(points, journal, pool, progress=lambda done, what: advance(what, done))
    found = sweeping.records(points, journal)
    tabular.write(found, output)
    click.echo(f"{output}: {len(found):,} points" + (f", {failed:,} of them errors" if failed else ""), err=True)
    if failed:
        raise click.exceptions.Exit(REJECTED)
