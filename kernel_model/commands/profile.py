"""`graft profile`: the cost profiles that there are, and every figure of one with its source."""

from __future__ import annotations

import click

from grafting.terminal import emit, format_option


@click.group()
def profile() -> None:
    """Show cost profiles: what each primitive costs on one machine, and how we know."""


@profile.command("list")
@format_option("full", "json")
def list_profiles(output_format: str) -> None:
    """List the profiles: those of the package, and your own."""
    from kernel_model import costs
    from kernel_model.costs import listing

    names = sorted({*costs.available(), *costs.own()})
    if output_format == "json":
        emit({"schema": 1, "profiles": [listing.as_dict(costs.load(name)) for name in names]})
        return
    click.echo(listing.overview(names))


@profile.command("show")
@click.argument("name")
@format_option("full", "json")
def show_profile(name: str, output_format: str) -> None:
    """Show the profile NAME (or a TOML file): figures, intervals, equations, certainty and sources."""
    from kernel_model import costs
    from kernel_model.costs import listing

    shown = costs.load(name)
    if output_format == "json":
        emit({"schema": 1, **listing.as_dict(shown)})
        return
    click.echo(listing.show(shown))
