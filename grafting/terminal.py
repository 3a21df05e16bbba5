"""What commands share: options, reading a program, and how results, diagnostics and progress reach a terminal.

Data goes to standard output; diagnostics, progress and chatter go to standard error. The commands themselves are in
`cli.py`, those of the kernel model in `kernel_model/commands/`; they import what is here, and nothing here knows them.

Exit status: 0 accepted or ok, 1 rejected (the program, or a test of it), 2 usage or files, 3 a bug of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from rich.progress import Progress, TaskID

    from grafting import Diagnostic, Program
    from grafting.hooks import Hook

REJECTED, USAGE, BUG = 1, 2, 3


# --- options and input shared by commands ----------------------------------------------------------------------------


def _note_format(ctx: click.Context, _param: click.Parameter, value: str) -> str:
    ctx.meta["output_format"] = value  # known to `Commands.invoke` even if the command fails
    return value


def format_option(*choices: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """Return the option `--output-format` with these choices, the first being the default."""
    return click.option(
        "--output-format",
        type=click.Choice(choices),
        default=choices[0],
        callback=_note_format,
        is_eager=True,
        help="How to print results and diagnostics.",
    )


class HookName(click.ParamType["Hook"]):
    """A hook for bytecode that does not say its own: `reply`, `raw_memory:SIZE`, `raw_context:SIZE`."""

    name = "hook"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Hook:
        """Return the hook called `value`."""
        from grafting import hooks

        if isinstance(value, hooks.Hook):
            return value
        name, _, size = str(value).partition(":")
        if name in hooks.GRAFT_HOOKS and not size:
            return hooks.GRAFT_HOOKS[name]
        if name in ("raw_memory", "raw_context") and size.isdecimal():
            return getattr(hooks, name)(int(size))  # type: ignore[no-any-return]
        known = ", ".join([*hooks.GRAFT_HOOKS, "raw_memory:SIZE", "raw_context:SIZE"])
        self.fail(f"{value!r} is not a hook; the hooks are {known}", param, ctx)


hook_option = click.option(
    "--hook", type=HookName(), help="The hook of an assembly file (.s): reply, raw_memory:SIZE …"
)


def note_file(ctx: click.Context, _param: click.Parameter, value: Path | None) -> Path | None:
    """Note what a log says was judged, as the callback of an argument."""
    ctx.meta["file"] = str(value)
    return value


file_argument = click.argument("file", type=click.Path(path_type=Path, allow_dash=True), callback=note_file)


def load(file: Path, hook: Hook | None = None) -> Program:
    """Return the program in `file`: an ELF object by its magic number, assembly by `.s`, else source text."""
    import grafting
    from grafting import build_cache, hooks
    from grafting.parsing import lexer

    data = read(file)
    if data.startswith(b"\x7fELF"):
        return grafting.Program.from_elf(data, filename=str(file))
    source = lexer.decode(data, str(file))
    if file.suffix == ".s":
        return grafting.Program.from_assembly(source.text, hook or hooks.raw_context(192), name=file.stem)
    return build_cache.compile_cached(source)


def read(file: Path) -> bytes:
    """Return the content of a file, or of standard input for `-`."""
    return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()


def bytes_argument(text: str) -> bytes:
    """Return the bytes that `text` names: the content of a file of that name, else hexadecimal digits."""
    with contextlib.suppress(OSError):  # digits may be too long for a file name
        if Path(text).is_file():
            return Path(text).read_bytes()
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is neither a file nor hexadecimal digits") from error


# --- output ----------------------------------------------------------------------------------------------------------


def report(diagnostics: Collection[Diagnostic], style: str, **more: Any) -> None:
    """Print diagnostics: text to standard error, JSON and SARIF to standard output; with `more` data, if any."""
    from grafting import render

    if style == "sarif":
        witnesses = [{"witness": witness} for witness in more.get("witnesses", ())]
        emit_sarif(diagnostics, REJECTED, properties=witnesses)
        return
    if style == "json":
        emit({"schema": 1, "verdict": "rejected", "diagnostics": [render.as_dict(d) for d in diagnostics], **more})
        return
    color = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    for diagnostic in diagnostics:
        text = render.concise(diagnostic) if style == "concise" else render.full(diagnostic, color=color)
        click.echo(text, err=True)
    if style == "full":
        named = dict.fromkeys(diagnostic.code for diagnostic in diagnostics)
        which = "this error" if len(named) == 1 else "these errors"
        click.echo(f"for more about {which}: graft explain {' '.join(named)}", err=True)


def emit(data: Any) -> None:
    """Print JSON data to standard output."""
    click.echo(json.dumps(data, indent=2))


def emit_sarif(diagnostics: Iterable[Diagnostic], status: int, **more: Any) -> None:
    """Print the log of a run that ends with exit status `status` to standard output; `more` as `sarif.log` takes it."""
    from grafting import sarif

    file = click.get_current_context().meta.get("file", "")
    emit(sarif.log(diagnostics, exit_code=status, file=file, **more))


def console() -> Any:
    """Return a rich console on standard output that honours NO_COLOR and keeps its width when piped."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


@contextlib.contextmanager
def progress(total: int) -> Iterator[Advance]:
    """Show a bar on standard error while `total` steps run; yields what to call as they do."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Advance(bar, bar.add_task("", total=total))


class Advance:
    """Moves a progress bar. Called with what is about to run, and how many steps are done if not one more each time."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task, self._done = bar, task, -1

    def __call__(self, what: str, done: int | None = None) -> None:
        """Show that `done` steps are done."""
        self._done = self._done + 1 if done is None else done
        self._bar.update(self._task, description=what, completed=self._done)
