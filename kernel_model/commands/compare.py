"""`graft compare`: a workload by every mechanism, in the simulated kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from grafting.terminal import console, format_option, note_file, progress
from kernel_model.commands.fields import axes_given, field_options

HOPS = (1, 2, 4, 8)
SERVERS = ("one", "each")


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path), callback=note_file)
@click.option("--workload", default="btree", help="What is asked of the servers.")
@click.option("--mechanisms", help="Which mechanisms, by name: call,graft; default: all.")
@field_options
@click.option("--plot", type=click.Path(path_type=Path), help="Draw latency and speed-up into this .svg, .png or .pdf.")
@format_option("full", "json", "csv")
def compare(
    file: Path | None,
    workload: str,
    mechanisms: str | None,
    plot: Path | None,
    output_format: str,
    **fields: Any,
) -> None:
    """Run a workload by round trips, by every rival mechanism and by a graft, in the simulated kernel.

    The graft is FILE, or the workload's own sample. An option of a field takes one value, a list or a range: 4, 1,2,4,
    1..8, 1..64x2.
    """
    from kernel_model import costs
    from kernel_model.experiments import compare as comparing
    from kernel_model.experiments.axes import by_mechanisms, grid
    from kernel_model.experiments.point import Point
    from kernel_model.experiments.preparation import completed
    from kernel_model.mechanisms import BY_NAME

    if plot:
        from kernel_model.results import plot as plotting

        plotting.require(plot)
    base = Point(workload=workload, graft=str(file) if file else None)
    own = completed(base)
    usual: dict[str, Any] = {
        "profile": costs.DEFAULT_PROFILES,
        "servers": SERVERS if own.servers else None,
        "hops": HOPS if own.hops else None,
    }
    axes = {name: values for name, values in {**usual, **axes_given(fields)}.items() if values}
    points = by_mechanisms(grid(axes, base), mechanisms.split(",") if mechanisms else BY_NAME)
    with progress(len(points)) as advance:
        comparison = comparing.compare(points, progress=advance)
    if plot:
        plotting.draw(comparison, plot)
        click.echo(f"{plot}: written", err=True)
    match output_format:
        case "json":
            click.echo(comparison.to_json())
        case "csv":
            click.echo(comparison.to_csv(), nl=False)
        case _:
            from kernel_model.results import report as reporting

            console().print(*reporting.tables(comparison), sep="\n")
