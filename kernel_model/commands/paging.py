"""`graft paging`: pages read before a thread's turn, by whom, and whether it is of use."""

from __future__ import annotations

from typing import Literal

import click

from grafting.terminal import console, emit, format_option, progress


@click.command()
@click.option("--workload", "workloads", multiple=True, help="periodic, interactive or events; default: all.")
@click.option("--lead", "lead_ns", type=click.IntRange(0), default=1_000_000, show_default=True,
              help="ns before a timer is due that a turn is foretold.")  # fmt: skip
@click.option("--near", type=click.IntRange(0), default=2, show_default=True,
              help="Places before the head of a run queue.")  # fmt: skip
@click.option(
    "--fetch", "fetch_ns", type=click.IntRange(0), default=80_000, show_default=True, help="ns to read a page."
)
@click.option("--turns", type=click.IntRange(1, 100_000), default=200, show_default=True)
@click.option("--seed", type=int, default=1)
@click.option("--caches", type=click.Choice(("hot", "finite")), default="hot", show_default=True,
              help="Whether a page that was read is in the cache of who touches it.")  # fmt: skip
@click.option("--profile", default="sel4-skylake", show_default=True, help="Cost profile.")
@format_option("full", "json", "csv")
def paging(
    workloads: tuple[str, ...],
    lead_ns: int,
    near: int,
    fetch_ns: int,
    turns: int,
    seed: int,
    caches: Literal["hot", "finite"],
    profile: str,
    output_format: str,
) -> None:
    """Compare who says which pages a process will touch: nobody, the kernel, a hint of its own, or a graft."""
    from kernel_model import costs
    from kernel_model.experiments import page_in
    from kernel_model.results import paging as results
    from kernel_model.results import tabular

    chosen = workloads or page_in.WORKLOADS
    settings = page_in.settings(
        chosen, lead_ns=lead_ns, near=near, fetch_ns=fetch_ns, turns=turns, seed=seed, caches=caches
    )
    found = []
    with progress(len(settings)) as advance:
        for setting in settings:
            advance(f"{setting.workload}, {setting.ahead}")
            found.append(page_in.page_in(setting, costs.load(profile)))
    match output_format:
        case "json":
            emit({"schema": 1, "profile": profile, "settings": [result.as_dict() for result in found]})
        case "csv":
            click.echo(tabular.to_csv([result.as_dict() for result in found]), nl=False)
        case _:
            console().print(results.table(found), results.verdict(found), sep="\n")
