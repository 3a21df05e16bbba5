"""The command `graft`: thin commands over the four packages.

Every command reads its input, calls one library function and prints the result. Heavy imports stay inside the
commands, so that `graft --help` starts at once and `graft verify` never loads numba. What commands share is in
`grafting/terminal.py`; the commands of the kernel model are in `kernel_model/commands/`, found by name when they are
asked for.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from grafting.terminal import (
    BUG,
    REJECTED,
    USAGE,
    bytes_argument,
    emit,
    emit_sarif,
    file_argument,
    format_option,
    hook_option,
    load,
    read,
    report,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from grafting import Diagnostic, Program
    from grafting.codes import Explanation
    from grafting.hooks import Hook
    from jit.activation import Observe
    from jit.runs import Activity, RawResult, RunResult
    from verifier import Rejected, Verified

MODEL_COMMANDS = ("calibrate", "compare", "paging", "profile", "sweep")
"""Commands in files of their own, `kernel_model/commands/NAME.py`."""


class Commands(click.Group):
    """The command group: turns the two families of failure into exit statuses, in one place."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted([*super().list_commands(ctx), *MODEL_COMMANDS])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, if there is one."""
        if cmd_name in MODEL_COMMANDS:
            command: click.Command = getattr(import_module(f"kernel_model.commands.{cmd_name}"), cmd_name)
            return command
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command."""
        from grafting import GraftError

        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except GraftError as error:
            report(error.diagnostics, ctx.meta.get("output_format", "full"))
            ctx.exit(REJECTED)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _give_up(ctx, f"{where}{error.strerror or error}", USAGE)
        except Exception as error:
            traceback.print_exc()
            reason = "this is a bug of grafting, not of your program: please report it with the text above"
            _give_up(ctx, f"{error!r}: {reason}", BUG)


def _give_up(ctx: click.Context, reason: str, status: int) -> NoReturn:
    """End a run that came to no result."""
    click.echo(f"error: {reason}", err=True)
    if ctx.meta.get("output_format") == "sarif":
        emit_sarif((), status, failure=reason)
    ctx.exit(status)


engine_option = click.option(
    "--engine", type=click.Choice(["python", "numba", "native"]), default="python",
    help="An interpreter's tier, or machine code, for which FILE is verified first.",
)  # fmt: skip


# --- commands --------------------------------------------------------------------------------------------------------


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="grafting")
def main() -> None:
    """Grafts: small verified programs that a microkernel runs when a message arrives."""


@main.command()
@file_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The object to write; default: FILE with .o.")
@format_option("full", "concise", "json", "sarif")
def build(file: Path, output: Path | None, output_format: str) -> None:
    """Compile FILE into a standard BPF object."""
    program = load(file)
    data = program.to_elf()
    target = output or Path(f"{program.name}.o" if str(file) == "-" else file.with_suffix(".o"))
    target.write_bytes(data)
    if output_format == "json":
        emit({"schema": 1, "output": str(target), "bytes": len(data), "handlers": [h.name for h in program.handlers]})
    elif output_format == "sarif":
        emit_sarif((), 0)
    else:
        click.echo(f"{target}: {len(data):,} bytes, {len(program.handlers)} handlers", err=True)


def _bounds_table(verified: Verified) -> str:
    """Return the bounds of each handler in columns, as text: rich takes longer to import than a graft to verify."""
    rows: list[tuple[str, ...]] = [("handler", "instructions", "sends", "bytes sent", "stack", "helper calls")]
    for name, proof in verified.handlers.items():
        b = proof.bounds
        counts = (b.instructions, b.sends, b.bytes_sent, b.stack_bytes, b.helper_calls)
        rows.append((name, *(f"{count:,}" for count in counts)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if n else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def report_with_witnesses(
    program: Program, rejected: Rejected, file: Path, hook: Hook | None, style: str, output: Path | None
) -> None:
    """Print a rejection and a witness for each diagnostic, if one is found; write the first one's input to `output`."""
    from jit.witness import show

    told = show.tell(program, rejected.diagnostics, str(file), hook, None if output is None else str(output))
    written = next((each.witness for each in told if each.witness is not None), None)
    if output is not None and written is not None:
        output.write_text(json.dumps(written.input_json(), indent=2) + "\n")
    report(rejected.diagnostics, style, witnesses=[each.as_dict() for each in told])
    if style not in ("json", "sarif"):
        for each in told:
            click.echo(each.text)


def show_states(program: Program, file: str, output_format: str) -> None:
    """Print what is known at each line of a program that is verified first."""
    import verifier
    from verifier import annotate

    annotated = annotate.annotate(verifier.verify(program))
    if output_format == "json":
        emit({"schema": 1, "file": file, "handlers": [handler.as_dict() for handler in annotated]})
    else:
        click.echo(annotate.render(annotated))


def show_native(program: Program) -> None:
    """Print the machine code of a program that is verified first."""
    import verifier
    from jit.native import listing

    click.echo(listing.native(verifier.verify(program)))


@main.command()
@file_argument
@click.option("--ast", "stage", flag_value="ast", help="The syntax tree.")
@click.option("--ir", "stage", flag_value="ir", help="The LLVM IR.")
@click.option(
    "--bytecode", "stage", flag_value="bytecode", default=True, help="The bytecode, with source lines (default)."
)
@click.option("--states", "stage", flag_value="states", help="What the verifier knows at each source line.")
@click.option("--native", "stage", flag_value="native", help="The machine code, with source lines and bytecode.")
@click.option("--optimised", is_flag=True, help="With --ir: after LLVM's passes, not before.")
@hook_option
@format_option("full", "concise", "json")
def show(file: Path, stage: str, optimised: bool, hook: Hook | None, output_format: str) -> None:
    """Print a stage of the way from source to machine code."""
    from grafting.assembly import listing

    if stage == "states":
        show_states(load(file, hook), str(file), output_format)
        return
    if output_format == "json":
        raise click.UsageError("only --states has JSON")
    if stage == "native":
        show_native(load(file, hook))
        return
    if stage == "bytecode":
        click.echo(listing.bytecode(load(file, hook)))
        return
    from grafting import compiler
    from grafting.parsing import lexer

    source = lexer.decode(read(file), str(file))
    click.echo(compiler.show_ast(source) if stage == "ast" else compiler.show_ir(source, optimised=optimised))


@main.command()
@file_argument
@hook_option
@click.option("--witness", is_flag=True, help="If it is rejected, search for an input that makes it misbehave.")
@click.option("--witness-file", type=click.Path(path_type=Path), help="With --witness: where to write that input.")
@click.option(
    "--receipt", type=click.Path(path_type=Path), help="If it is accepted: where to write the proof, as JSON."
)
@format_option("full", "concise", "json", "sarif")
def verify(
    file: Path,
    hook: Hook | None,
    witness: bool,
    witness_file: Path | None,
    receipt: Path | None,
    output_format: str,
) -> None:
    """Prove FILE (source, object or assembly) safe and print its worst-case cost."""
    import verifier

    program = load(file, hook)
    try:
        verified = verifier.verify(program)
    except verifier.Rejected as rejected:
        if not witness:
            raise
        report_with_witnesses(program, rejected, file, hook, output_format, witness_file)
        raise click.exceptions.Exit(REJECTED) from None
    if receipt is not None:
        from verifier.receipt import dumps

        receipt.write_bytes(dumps(verified))
    if output_format == "json":
        handlers = [
            {"name": h.name, "event": h.event, "bounds": verified.handlers[h.name].bounds.as_dict()}
            for h in verified.program.handlers
        ]
        emit(
            {
                "schema": 1,
                "file": str(file),
                "name": verified.program.name,
                "verdict": "accepted",
                "bounds": verified.bounds.as_dict(),
                "handlers": handlers,
                "diagnostics": [],
            }
        )
    elif output_format == "sarif":
        emit_sarif((), 0)
    elif output_format == "concise":
        b = verified.bounds
        click.echo(f"{file}: accepted, at most {b.instructions} instructions, {b.sends} sends, {b.bytes_sent} bytes")
    else:
        click.echo(f"{file}: accepted. Proven worst case of one activation:")
        click.echo(_bounds_table(verified))


@main.command()
@file_argument
@format_option("full", "concise", "json", "sarif")
@engine_option
def test(file: Path, output_format: str, engine: str) -> None:
    """Run the `test` blocks of FILE, in the checked interpreter or natively."""
    from jit import testing

    program = load(file)
    results = testing.run_tests(program, engine=engine)
    failed = [r for r in results if not r.passed]
    if output_format == "json":
        emit({"schema": 1, "file": str(file), "passed": len(results) - len(failed), "failed": len(failed),
              "tests": [r.as_dict() for r in results]})  # fmt: skip
    elif output_format == "sarif":
        emit_sarif([r.diagnostic(program.debug.source) for r in failed], REJECTED if failed else 0)
    else:
        for result in results:
            mark = click.style("ok  ", fg="green") if result.passed else click.style("FAIL", fg="red")
            click.echo(f"{mark} {result.name}")
            for line in result.failures:
                click.echo(f"     {line}")
        click.echo(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    if failed:
        raise click.exceptions.Exit(REJECTED)


@main.command()
@click.argument("names", nargs=-1, metavar="[CODE]...")
@format_option("full", "json")
def explain(names: tuple[str, ...], output_format: str) -> None:
    """Explain error codes, such as G0301: the rule, its reason, an example and the remedy; without CODE list all."""
    from grafting import codes, codes_page

    entries = [_explanation(name) for name in names or codes.all_codes()]
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    if output_format == "json":
        emit({"schema": 1, "codes": [entry.as_dict() for entry in entries]})
    elif names:
        click.echo("\n\n\n".join(codes_page.terminal(entry, color=color) for entry in entries))
    else:
        click.echo(codes_page.overview(color=color))


def _explanation(name: str) -> Explanation:
    from grafting import codes, spelling

    entry = codes.explain(name.upper())
    if entry is None:
        near = spelling.nearest(name.upper(), codes.all_codes())
        raise click.BadArgumentUsage(f"there is no code {name!r}" + (f"; did you mean {near}?" if near else ""))
    return entry


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if a file is not formatted.")
@format_option("full", "concise", "json", "sarif")
def fmt(files: tuple[Path, ...], check: bool, output_format: str) -> None:
    """Format source files in place."""
    from grafting import GraftError, format
    from grafting.parsing import lexer

    changes: dict[Path, Diagnostic] = {}
    for file in files:
        source = lexer.decode(file.read_bytes(), str(file))
        new = format.format_source(source)
        if new != source.text:
            changes[file] = format.unformatted(source, new)
            if not check:
                file.write_text(new, encoding="utf-8", newline="")
    if check and changes:
        raise GraftError(changes.values())
    if output_format == "json":
        emit({"schema": 1, "formatted": [str(file) for file in changes], "diagnostics": []})
    elif output_format == "sarif":
        emit_sarif((), 0)
    for file in changes:
        click.echo(f"{file}: formatted", err=True)


def input_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say on what a handler is run; `_fresh` takes them."""
    options = (
        click.option("--event", help="reply, failure, request, timer, submit or schedule."),
        click.option(
            "--input", "given", help="All of the input as JSON, or a file of it, as `verify --witness` gives it."
        ),
        click.option("--message", "body", default="", help="The message body: a file, or hexadecimal digits."),
        click.option("--slot", help="The capability slot through which the request went, by name or number."),
        click.option("--op", help="The operation, by name or number."),
        click.option("--tag", type=int, default=0, help="The request's tag; for a timer its id."),
        click.option("--badge", type=int, default=0),
        click.option("--status", type=int, default=0),
        click.option("--now", type=int, default=0, help="The clock, in nanoseconds."),
        click.option(
            "--map", "entries", nargs=3, multiple=True, metavar="NAME KEY VALUE", help="Put an entry into a map first."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _fresh(program: Program, event: str | None, given: str | None, body: str, **inputs: Any) -> Callable[[], Activity]:
    """Return what makes the activation that the options describe, each time with a state of its own."""
    from jit import runs

    if given is None:
        message = bytes_argument(body)
        return lambda: runs.activity(program, event, message, **inputs)
    if event or body:
        raise click.UsageError("--input says all of the input: leave --event and --message out")
    text = given if given.lstrip().startswith("{") else Path(given).read_text()
    return lambda: runs.activity_of(program, text)


@main.command()
@file_argument
@input_options
@click.option("--fuel", type=int, help="Instructions allowed.")
@engine_option
@click.option("--trace", is_flag=True, help="Show each instruction: its source line, what it changed, the fuel left.")
@click.option(
    "--trace-limit",
    type=click.IntRange(1),
    help="Of more instructions than that (default: 1000) --trace shows the first and the last.",
)
@hook_option
@format_option("full", "json", "sarif")
def run(
    file: Path,
    fuel: int | None,
    engine: str,
    trace: bool,
    trace_limit: int | None,
    hook: Hook | None,
    output_format: str,
    **inputs: Any,
) -> None:
    """Run one activation of FILE in the checked interpreter: verdict, sends, changes of state, instructions."""
    from jit import runs

    if trace and engine == "native":
        raise click.UsageError("--trace follows an interpreter: use --engine python or numba")
    program = load(file, hook)
    fresh = _fresh(program, **inputs)

    def activation(observe: Observe | None) -> RunResult | RawResult:
        return runs.run(fresh(), fuel=fuel, engine=engine, observe=observe)

    traced = None
    if trace:
        from jit import trace as tracing

        traced = tracing.trace(program, activation, trace_limit)
    outcome = traced.result if traced else activation(None)
    if output_format == "json":
        told = {"trace": traced.as_dict()} if traced else {}
        emit({"schema": 1, "file": str(file), **outcome.as_dict(), **told})
    elif output_format == "sarif":
        emit_sarif(outcome.diagnostics, REJECTED if outcome.misbehaved else 0)
    else:
        if traced:
            click.echo(f"{traced.describe()}\n")
        click.echo(outcome.describe())
    if outcome.misbehaved:
        raise click.exceptions.Exit(REJECTED)


@main.command()
@file_argument
@click.option("--handler", "handlers", multiple=True, help="Which handlers; default: all. Not with an input of yours.")
@input_options
@click.option(
    "--engine", type=click.Choice(["all", "python", "numba", "native"]), default="all", help="Where to run it."
)
@click.option("--export", type=click.Choice(["json", "csv", "md"]), help="Print all figures in this form.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="With --export: the file to write.")
@hook_option
def bench(
    file: Path,
    handlers: tuple[str, ...],
    engine: str,
    export: str | None,
    output: Path | None,
    hook: Hook | None,
    **inputs: Any,
) -> None:
    """Time one activation of FILE in every engine, after a check that all engines agree.

    A handler is run on the first event of the file's own tests that it sees, or on the input that you describe.
    """
    from jit import bench as benching
    from jit.activation import ENGINES

    if output and not export:
        raise click.UsageError("--output is for --export")
    program = load(file, hook)
    given = benching.inputs(program, handlers)
    if any(inputs.values()):
        if handlers:
            raise click.UsageError("say the handler by --event or in --input, or leave the input out")
        given = [("on the input given", _fresh(program, **inputs))]
    report = benching.bench(program, given, ENGINES if engine == "all" else (engine,))
    text = report.export(export) if export else f"{report.describe()}\n"
    if output:
        output.write_text(text)
    else:
        click.echo(text, nl=False)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--engine", type=click.Choice(["all", "python", "numba", "native"]), default="all", help="Where to run the tests."
)
@format_option("full", "json")
def conformance(directory: Path, engine: str, output_format: str) -> None:
    """Run the tests of the public BPF conformance suite (`.data` files) below DIRECTORY."""
    from jit import activation
    from jit import conformance as suite

    engines = activation.ENGINES if engine == "all" else (engine,)
    results = [result for each in engines for result in suite.run_directory(directory, each)]
    if output_format == "json":
        emit({"schema": 1, "tests": [result.as_dict() for result in results]})
    else:
        click.echo(suite.table(results))
    if not all(result.passed for result in results):
        raise click.exceptions.Exit(REJECTED)


@main.command()
@click.argument("action", type=click.Choice(["show", "clear"]), default="show")
@format_option("full", "json")
def cache(action: str, output_format: str) -> None:
    """Show what is kept in the user's cache directory, or clear it: then it is made anew when needed."""
    from jit import caches

    found = caches.clear() if action == "clear" else caches.caches()
    if output_format == "json":
        emit({"schema": 1, "action": action, "caches": [each.as_dict() for each in found]})
        return
    if action == "clear":
        click.echo("removed:", err=True)
    click.echo(caches.table(found))
