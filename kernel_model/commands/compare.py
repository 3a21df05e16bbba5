"""`graft compare`: a workload by every mechanism, in the simulated kernel."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grafting.terminal import console, format_option, note_file, progress
from kernel_model.commands.fields import axes_given, field_options

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kernel_model.experiments.point import Point
    from kernel_model.results.comparison import Comparison

KINDS = ("chain", "map", "accounts", "load")
HOPS = (1, 2, 4, 8)
SERVERS = ("one", "each")
TRACED_OPERATIONS = 100  # more is a file that no browser likes


def points_of(base: Point, mechanisms: str | None, fields: Mapping[str, Any], accounting: bool) -> tuple[Point, ...]:
    """Return the points to compare: the axes given, and for those that matter most more than one value if not."""
    from kernel_model import costs
    from kernel_model.experiments.axes import by_mechanisms, grid
    from kernel_model.experiments.point import CHOICES
    from kernel_model.experiments.preparation import completed
    from kernel_model.mechanisms import BY_NAME

    own = completed(base)
    usual: dict[str, Any] = {
        "profile": costs.DEFAULT_PROFILES,
        "servers": SERVERS if own.servers else None,
        "hops": _lengths(own)[-1 if accounting else 0 :] if own.hops else None,
        "charge": CHOICES["charge"] if accounting else None,
    }
    axes = {name: values for name, values in {**usual, **axes_given(fields)}.items() if values}
    names = mechanisms.split(",") if mechanisms else ("call", "graft") if accounting else BY_NAME
    return by_mechanisms(grid(axes, base), names)


def write_trace(points: Sequence[Point], path: Path) -> None:
    """Run the last point and its baseline once more, with few operations, and write what happened as a trace."""
    import json
    from dataclasses import replace

    from kernel_model.experiments.run import traced
    from kernel_model.kernel import Kernel
    from kernel_model.results.comparison import BASELINE
    from kernel_model.results.perfetto import trace_of

    last = replace(points[-1], operations=min(points[-1].operations, TRACED_OPERATIONS))
    ran = {name: traced(replace(last, mechanism=name)) for name in dict.fromkeys((BASELINE, last.mechanism))}
    path.write_text(json.dumps(trace_of({name: each for name, each in ran.items() if isinstance(each, Kernel)})))
    click.echo(f"{path}: written; open it at https://ui.perfetto.dev", err=True)


def _lengths(point: Point) -> tuple[int, ...]:
    """Return the usual lengths of a chain that the workload of a completed point can have."""
    from dataclasses import replace

    from grafting.diagnostics import GraftError
    from kernel_model.workloads import catalogue

    found = []
    for hops in HOPS:
        with contextlib.suppress(GraftError):
            catalogue.make(replace(point, hops=hops, operations=1))
            found.append(hops)
    return tuple(found)


class Compare(click.Command):
    """A command whose help ends with what can be compared; only then is that looked up."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the workloads and the mechanisms."""
        from kernel_model.mechanisms import ALL
        from kernel_model.workloads.catalogue import KINDS

        for title, rows in (("Workloads", KINDS), ("Mechanisms", ALL)):
            with formatter.section(title):
                formatter.write_dl([(each.name, each.summary) for each in rows])


@click.command(cls=Compare)
@click.argument("file", required=False, type=click.Path(path_type=Path), callback=note_file)
@click.option("--workload", default="btree", help="What is asked of the servers; default: btree.")
@click.option("--mechanisms", help="Which mechanisms, by name: call,graft; default: all.")
@field_options
@click.option("--accounting", is_flag=True, help="Who was charged for what, foretold and seen, in every charge mode.")
@click.option("--replications", type=click.IntRange(1), default=1, help="Runs of each point, with consecutive seeds.")
@click.option("--jobs", type=click.IntRange(1), default=1, help="Processes that run the points.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw a picture into this .svg, .png or .pdf.")
@click.option("--figure", type=click.Choice(KINDS), default="chain", help="What --plot draws; default: chain.")
@click.option("--trace", type=click.Path(path_type=Path), help="Write a trace of the last point for ui.perfetto.dev.")
@click.option("--report", type=click.Path(path_type=Path), help="Write all of it as one HTML page.")
@format_option("full", "json", "csv")
def compare(
    file: Path | None,
    workload: str,
    mechanisms: str | None,
    accounting: bool,
    replications: int,
    jobs: int,
    plot: Path | None,
    figure: str,
    trace: Path | None,
    report: Path | None,
    output_format: str,
    **fields: Any,
) -> None:
    """Run a workload by round trips, by every rival mechanism and by a graft, in the simulated kernel.

    The graft is FILE, or the workload's own sample. An option of a field takes one value, a list or a range: 4, 1,2,4,
    1..8, 1..64x2. The workload adversary-NAME, or adversary-all, is an attack on the kernel: it prints what became of
    bystanders.
    """
    if workload.startswith("adversary-"):
        from kernel_model.commands import attacks

        attacks.run(workload, fields, output_format)
        return
    from kernel_model.experiments import compare as comparing
    from kernel_model.experiments.foretelling import foretell
    from kernel_model.experiments.point import Point
    from kernel_model.experiments.workers import workers
    from kernel_model.results import accounts
    from kernel_model.results import plot as plotting
    from kernel_model.results import report as reporting

    if plot:
        plotting.require(plot)
    if report:
        plotting.require_matplotlib()
    points = points_of(Point(workload=workload, graft=str(file) if file else None), mechanisms, fields, accounting)
    foretold = [*accounts.foretold(foretell(points))] if accounting else []
    full, out = output_format == "full", console()
    if full and foretold:
        out.print(*foretold, sep="\n")
    with workers(jobs) as pool, progress(len(points) * replications) as advance:
        comparison = comparing.compare(points, pool=pool, replications=replications, progress=advance)
    if plot:
        plotting.draw(comparison, plot, figure)
        click.echo(f"{plot}: written", err=True)
    if trace:
        write_trace(points, trace)
    if report:
        write_report(comparison, foretold, report)
    match output_format:
        case "json":
            click.echo(comparison.to_json())
        case "csv":
            click.echo(comparison.to_csv(), nl=False)
        case _:
            out.print(*(accounts.after(comparison) if accounting else reporting.tables(comparison)), sep="\n")


def write_report(comparison: Comparison, foretold: Sequence[RenderableType], path: Path) -> None:
    """Write a page with what a terminal would show, with or without accounting."""
    import sys

    from kernel_model.results import accounts
    from kernel_model.results import report as reporting
    from kernel_model.results.page import page

    sections: list[tuple[str, Sequence[RenderableType]]] = [
        ("Who wins", [reporting.heading(comparison), *reporting.summary(comparison)]),
        ("How long it takes, and where the time goes", [*reporting.details(comparison)]),
    ]
    if foretold:
        sections += [("Foretold", foretold), ("Who pays", [*accounts.after(comparison)])]
    path.write_text(page(comparison, sections, ["graft", *sys.argv[1:]]), encoding="utf-8")
    click.echo(f"{path}: written", err=True)
