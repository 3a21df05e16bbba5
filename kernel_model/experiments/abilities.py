"""What can express which workload, as a table: asked of the mechanisms, so that the page says what the code does."""

from __future__ import annotations

from kernel_model.experiments.point import Point, Servers
from kernel_model.mechanisms import ALL
from kernel_model.workloads import catalogue

YES = "yes"
SERVERS: tuple[Servers, ...] = ("one", "each")


def table() -> str:
    """Return a Markdown table: a row for each mechanism, a column for each workload; the reasons below, numbered."""
    columns = [(name, servers) for name in catalogue.NAMES for servers in SERVERS]
    workloads = {
        column: catalogue.make(Point(workload=column[0], servers=column[1], operations=1)) for column in columns
    }
    reasons: list[str] = []
    lines = [
        "| mechanism | " + " | ".join(f"{name}, {_servers(servers)}" for name, servers in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for mechanism in ALL:
        cells = []
        for column in columns:
            unable = mechanism.express(workloads[column])
            if unable is not None and unable.reason not in reasons:
                reasons.append(unable.reason)
            cells.append(YES if unable is None else f"no ({reasons.index(unable.reason) + 1})")
        lines.append(f"| `{mechanism.name}` | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"{number}. {reason}" for number, reason in enumerate(reasons, 1))])


def _servers(servers: str) -> str:
    return "one server" if servers == "one" else "a server per hop"


if __name__ == "__main__":
    print(table())
