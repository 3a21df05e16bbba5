"""`graft calibrate`: measure this machine's primitives and write them as a cost profile."""

from __future__ import annotations

from pathlib import Path

import click

from grafting.terminal import progress


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write it; default: your own profiles.")
@click.option("--rounds", type=click.IntRange(3), default=41, show_default=True, help="Batches of each measurement.")
def calibrate(output: Path | None, rounds: int) -> None:
    """Measure single primitives of this machine and write the cost profile `linux-host`.

    It is then found by that name before the profile that comes with the package. Let the machine be idle: the printed
    load says whether it was.
    """
    import os

    from kernel_model import costs
    from kernel_model.calibration import calibrate as calibration

    load = os.getloadavg()[0]
    with progress(calibration.STEPS) as advance:
        text = calibration.calibrate(rounds, advance)
    target = output or costs.own_directory() / "linux-host.toml"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    digest = costs.parse(text, filename=str(target)).digest
    click.echo(f"{target}: sha256 {digest}; load average {load:.1f} on {os.cpu_count()} cores", err=True)
