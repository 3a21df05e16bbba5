"""What can express which workload, as a table: asked of the mechanisms, so that the page says what the code does."""

from __future__ import annotations

from kernel_model.experiments.point import Point, Servers
from kernel_model.mechanisms import ALL
from kernel_model.workloads import catalogue

SERVERS: dict[Servers, str] = {"one": "one server", "each": "several"}


def table() -> str:
    """Return a Markdown table: a row for each workload, a column for each mechanism; the reasons below, numbered."""
    reasons: list[str] = []
    lines = [
        "| workload | " + " | ".join(f"`{mechanism.name}`" for mechanism in ALL) + " |",
        "|---" * (len(ALL) + 1) + "|",
    ]
    for name, point in points():
        workload = catalogue.make(point)
        cells = []
        for mechanism in ALL:
            unable = mechanism.express(workload)
            if unable is not None and unable.reason not in reasons:
                reasons.append(unable.reason)
            cells.append("yes" if unable is None else f"no {reasons.index(unable.reason) + 1}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"{number}. {reason}" for number, reason in enumerate(reasons, 1))])


def points() -> list[tuple[str, Point]]:
    """Return each workload, with one server and with several if it has a use for both, and its name."""
    found = []
    for name in catalogue.NAMES:
        if catalogue.parameters(Point(workload=name))["servers"] is None:
            found.append((name, Point(workload=name, operations=1)))
        else:
            found += [
                (f"{name}, {words}", Point(workload=name, servers=s, operations=1)) for s, words in SERVERS.items()
            ]
    return found


if __name__ == "__main__":
    print(table())
