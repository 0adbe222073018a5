"""The command `servicectx`: its subcommands, and the handling of errors."""

import contextlib
import importlib
import os
import sys
import traceback
from typing import Any

import click

import servicectx
from servicectx.cli import eval_output
from servicectx.cli.console import note
from servicectx.request.project import project

# A module is imported only when its command or its help is used.
COMMANDS = {
    "run": "start services, run a command with them, stop them",
    "up": "start services that stay",
    "down": "stop services that stay",
    "open": "start a service on data that keep_data left",
    "persist": "persistent data: list it, remove it by name",
    "status": "running instances: address, state, holders",
    "env": "environment variables of running instances, for a shell or a file",
    "details": "connection details of running instances, as JSON",
    "shell": "open psql, valkey-cli ... on a running instance",
    "logs": "the log of a server",
    "list": "services that can be started here",
    "doctor": "look for problems on this machine",
    "prune": "remove the remains of dead instances",
    "cache": "prepared data kept between runs",
    "completion": "completion for bash, zsh and fish",
}
DEBUG = "servicectx.debug"
PROGRAM = "servicectx"
BROKEN_PIPE = 141  # as the shell reports a program that SIGPIPE ended


class Group(click.Group):
    """A command group that loads each command from the module of the same name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"servicectx.cli.{name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if not close:
                raise
            raise click.UsageError(f"{error.message} Did you mean {close[0]!r}?", ctx) from None


def debug_option(command: Any) -> Any:
    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            ctx.find_root().meta[DEBUG] = True

    return click.option(
        "--debug", is_flag=True, expose_value=False, callback=remember, help="Show tracebacks of errors."
    )(command)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(servicectx.__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
@debug_option
def app() -> None:
    """Real services for tests and scripts: started when needed, shared, gone when the last user leaves.

    \b
    servicectx run postgres redis -- pytest -n 8
    servicectx up postgres && servicectx shell postgres && servicectx down
    """


def run(arguments: list[str] | None = None) -> None:
    """Run a command line and exit with its status. Errors are printed as messages; --debug adds tracebacks."""
    try:
        _run(arguments)
    except BaseException as error:
        line = eval_output.failure(sys.argv[1:] if arguments is None else arguments)
        if line is not None and not (isinstance(error, SystemExit) and error.code in (0, None, BROKEN_PIPE)):
            click.echo(line)
        raise


def _run(arguments: list[str] | None) -> None:
    _find_set_ups()
    if (instruction := os.environ.get("_SERVICECTX_COMPLETE")) is not None:
        from click.shell_completion import shell_complete

        raise SystemExit(shell_complete(app, {}, PROGRAM, "_SERVICECTX_COMPLETE", instruction))
    meta: dict[str, Any] = {}
    try:
        context = app.make_context(PROGRAM, sys.argv[1:] if arguments is None else arguments)
        meta = context.meta
        with context:
            status = app.invoke(context)
        _flush()
        raise SystemExit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as done:
        raise SystemExit(done.exit_code) from None
    except click.ClickException as error:
        _debug(meta)
        error.show()
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, click.Abort):
        _debug(meta)
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader closed the pipe. Python would write the rest of the buffer again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(BROKEN_PIPE) from None
    except servicectx.ServiceCtxError as error:
        _debug(meta)
        note(f"servicectx: {error}")
        for line in getattr(error, "__notes__", ()):
            note(line)
        raise SystemExit(getattr(error, "exit_status", 1)) from None


class Failed(click.ClickException):
    """A command that failed: a message of one line or more, and exit status 1."""

    def show(self, file: Any = None) -> None:
        note(f"servicectx: {self.message}")


def _debug(meta: dict[str, Any]) -> None:
    if meta.get(DEBUG):
        traceback.print_exc()


def _flush() -> None:
    sys.stdout.flush()


def _find_set_ups() -> None:
    """Make set-ups given as "module:function" importable as in the project's own programs."""
    with contextlib.suppress(OSError):
        for path in (os.getcwd(), str(project())):
            if path not in sys.path:
                sys.path.append(path)
