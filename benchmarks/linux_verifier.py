"""Side by side with Linux's verifier on the same bytecode: where they agree, why not, and how long each takes.

    python -m benchmarks.linux_verifier [PROGRAMS] [--first SEED]        (default 3000 random programs from seed 0)

Needs bpf(2). The programs: random ones of `tests/random_bytecode.py`, a third of them bold; the single rules of
`tests/cases/verifier_*.yaml`; `loops.json`, where it is at hand; and the samples, compiled. `kernel_model/linux` says
how they are translated and what the differences are called. Prints three tables in Markdown; exits with 1 if Linux
refuses a program that we accept for a reason that has no name, or if such a program breaks a promise when it runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import promises  # noqa: E402
import test_verifier_cases as cases  # noqa: E402

import grafting  # noqa: E402
from benchmarks import machine  # noqa: E402
from grafting import Program, hooks  # noqa: E402
from kernel_model.linux import bpf  # noqa: E402
from kernel_model.linux.differences import UNEXPLAINED, Comparison, compared  # noqa: E402
from kernel_model.linux.translation import Untranslatable  # noqa: E402

LOOPS = ROOT.parent / "shared" / "verifier" / "loops.json"
RANDOM = "random, "
BOLD = 0.3
RUNS = 5  # of the timed programs; the shortest counts

Named = tuple[str, str, Program]
"""Where a program comes from, its name, itself; its first handler is judged."""


def random_programs(count: int, first: int) -> Iterator[Named]:
    for number in range(first, first + count):
        kind = kind_of(number)
        yield f"{RANDOM}{kind}", str(number), promises.program_of(kind, number, boldness(number))


def kind_of(number: int) -> str:
    return promises.KINDS[number % len(promises.KINDS)]


def boldness(number: int) -> float | None:
    return BOLD if number // len(promises.KINDS) % 3 == 0 else None


def rules() -> Iterator[Named]:
    for file, case in cases.ALL:
        yield "single rules", f"{file}: {case['name']}", cases.program(case)


def loops() -> Iterator[Named]:
    if LOOPS.exists():
        for case in json.loads(LOOPS.read_text()):
            yield "loops.json", case["name"], Program.from_bytecode(bytes.fromhex(case["hex"]), hooks.raw_context(192))


def samples() -> Iterator[Named]:
    for path in sorted((ROOT / "samples").glob("*.graft")):
        program = grafting.compile_graft(path.read_text(), filename=path.name)
        for handler in program.handlers:
            yield "samples", f"{path.stem}: {handler.name}", replace(program, handlers=(handler,))


def large() -> Iterator[Named]:
    """Yield programs of growing size: a parser of records, unrolled, with a map update each."""
    for records in (10, 40, 160):
        yield "larger", f"{records} records", grafting.compile_graft(_parser(records), filename="parser.graft")


def _parser(records: int) -> str:
    fields = "\n".join(
        f"    let word{n} = row.words[{n}]\n"
        f"    if word{n} > {n} {{ sums[word{n} & 15] += word{n} else {{ return deliver }} }}"
        for n in range(records)
    )
    return f"""graft parser
protocol block {{ op read(index: u64) -> Row }}
struct Row {{ words: [u64; {records}] }}
cap disk: block
map sums: hash<u64, u64, 64>
on reply(msg) from disk.read {{
    let row = msg.reply else {{ return deliver }}
{fields}
    return consume
}}
"""


def judged(program: Program, runs: int = 1) -> Comparison | str:
    """Return both verdicts, with the shortest times of some runs, or why Linux cannot be asked."""
    try:
        found = [compared(program) for _ in range(runs)]
    except Untranslatable as why:
        return str(why)
    return replace(found[0], ours_ms=min(c.ours_ms for c in found), theirs_ms=min(c.theirs_ms for c in found))


def agreement(subjects: Iterator[Named]) -> tuple[str, str, list[str]]:
    """Return the tables of agreement and of differences, and what has no explanation."""
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    differences: Counter[tuple[str, str]] = Counter()
    unexplained = []
    for group, name, program in subjects:
        counts = groups[group]
        counts["programs"] += 1
        found = judged(program)
        if isinstance(found, str):
            counts["not translated"] += 1
            continue
        ours, theirs = not found.refused, not found.reason
        counts["both accept" if ours and theirs else "both refuse" if not ours and not theirs
               else "only we accept" if ours else "only Linux accepts"] += 1  # fmt: skip
        counts["by a rule of ours"] += found.by_rule
        if found.difference:
            direction = "only we accept" if ours else "only Linux accepts"
            differences[direction, found.difference] += 1
        if ours and not theirs and group.startswith(RANDOM):  # Linux may be right
            broken = promises.judged(kind_of(int(name)), int(name), boldness(int(name))).broken
            if broken:
                unexplained.append(f"{group} {name}: broken: {broken}")
        if found.difference == UNEXPLAINED:
            said = f"Linux: {found.reason}" if ours else f"{found.refused} {found.message}"
            unexplained.append(f"{group}: {name}: {said}")
    total: Counter[str] = sum(groups.values(), Counter())
    columns = ("programs", "both accept", "both refuse", "only we accept", "only Linux accepts", "by a rule of ours",
               "not translated")  # fmt: skip
    rows = [(group, *(f"{c[name]:,}" for name in columns), _share(c)) for group, c in (*groups.items(), ("all", total))]
    first = machine.table(("programs", "number", *columns[1:], "accepted of what our rules allow"), rows)
    second = machine.table(("direction", "difference", "programs"), [(*key, n) for key, n in differences.most_common()])
    return first, second, unexplained


def _share(counts: Counter[str]) -> str:
    """Return how much we accept of what Linux accepts and our rules allow."""
    allowed = counts["both accept"] + counts["only Linux accepts"] - counts["by a rule of ours"]
    return f"{100 * counts['both accept'] / allowed:.1f} %" if allowed else "-"


def times(subjects: Iterator[Named]) -> str:
    """Return the table of times."""
    rows, ratios = [], []
    for group, name, program in subjects:
        found = judged(program, RUNS)
        if isinstance(found, str):
            continue
        verdicts = f"{found.refused or 'accepted'} / {'refused' if found.reason else 'accepted'}"
        ratio = found.ours_ms / found.theirs_ms
        ratios.append(ratio)
        size = len(program.handlers[0].operations)
        rows.append((group, name, size, verdicts, found.our_steps, found.their_steps, f"{found.ours_ms:.2f}",
                     f"{found.theirs_ms:.3f}", f"{ratio:.1f}"))  # fmt: skip
    columns = ("from", "program", "instructions", "verdicts", "our steps", "Linux's", "our ms", "Linux's ms", "ratio")
    return machine.table(columns, rows) + f"\n\nmedian ratio {median(ratios):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", type=int, nargs="?", default=3000)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    if bpf.unavailable():
        sys.exit(bpf.unavailable())
    print(machine.heading())

    def everything() -> Iterator[Named]:
        yield from random_programs(options.programs, options.first)
        yield from rules()
        yield from loops()
        yield from samples()

    table, differences, unexplained = agreement(everything())
    print(table, differences, sep="\n\n")
    for line in unexplained:
        print(line)

    def timed() -> Iterator[Named]:
        yield from samples()
        yield from loops()
        yield from large()

    print()
    print(times(timed()))
    sys.exit(1 if any(": Linux: " in line or ": broken: " in line for line in unexplained) else 0)


if __name__ == "__main__":
    main()
