"""`graft compare --workload adversary-NAME`: an attack on the simulated kernel, and what became of the others.

An adversary is no workload that mechanisms could be compared by: its operations never end. What it is run for is a
verdict (`workloads.adversaries`). `adversary-all` runs them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from grafting.diagnostics import fail
from grafting.terminal import console, emit, progress

USED = ("profile", "activation", "charge", "seed")


def run(name: str, fields: Mapping[str, Any], output_format: str) -> None:
    """Run the adversaries that `name` stands for and print the verdicts; exit with 1 if one does not hold.

    Raises GraftError G0846 for a field that has no use here, G0859 for an unknown name.
    """
    from kernel_model.commands.fields import axes_given
    from kernel_model.experiments.point import Point
    from kernel_model.results import attacks
    from kernel_model.workloads.adversaries import ADVERSARIES, PREFIX, adversary, attack

    given = {field: values for field, values in axes_given(fields).items() if values}
    for field, values in given.items():
        if field not in USED or len(values) != 1:
            raise fail("G0846", f"an adversary has no use for `{field}`", helps=(f"one value each: {', '.join(USED)}",))
    usual = {"profile": Point().profile, "activation": "auto", "charge": "metered", "seed": 1}
    chosen: dict[str, Any] = usual | {field: values[0] for field, values in given.items()}
    which = ADVERSARIES if name == PREFIX + "all" else (adversary(name),)
    verdicts = []
    with progress(len(which)) as advance:
        for each in which:
            advance(each.name)
            verdicts.append(attack(each, **chosen))
    match output_format:
        case "json":
            emit(attacks.as_dict(verdicts))
        case "csv":
            click.echo(attacks.as_csv(verdicts), nl=False)
        case _:
            console().print(*attacks.tables(verdicts, ", ".join(f"{k} {v}" for k, v in chosen.items())), sep="\n")
    if not all(verdict.holds for verdict in verdicts):
        raise click.exceptions.Exit(1)
