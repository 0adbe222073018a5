"""`servicectx run`: start services, run a command with them, stop them."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

import click

from servicectx import ServiceCtxError
from servicectx.cli import child, variables
from servicectx.cli.app import debug_option
from servicectx.cli.asked import Member, members, service_options
from servicectx.cli.console import note
from servicectx.cli.guard import Guard
from servicectx.cli.starting import started
from servicectx.request import external

OURS = 125  # the exit status that says: it was servicectx that failed, not the command
WORDS = "servicectx.words"


class WithCommand(click.Command):
    """Everything behind the first `--` is the command, untouched."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            args, ctx.meta[WORDS] = args[:at], args[at + 1 :]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "-- COMMAND ..."]


@click.command(
    cls=WithCommand,
    epilog="""\b
Examples:
  servicectx run postgres redis -- pytest -n 8
  servicectx run postgres --set postgres.version=16 -- ./manage.py test
  servicectx run --name orders=postgres --name users=postgres -- make check
  servicectx run redis -- sh -c 'redis-cli -u "$REDIS_URL" ping'
""",
)
@service_options
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@debug_option
@click.pass_context
def command(
    ctx: click.Context,
    services: tuple[str, ...],
    roles: tuple[str, ...],
    settings: tuple[str, ...],
    scope: str | None,
    storage: str | None,
    timeout: float | None,
    quiet: bool,
) -> None:
    """Start services side by side, run a command with them, and stop them when it has ended.

    The command gets the variables that the services' own tools read (PGHOST, DATABASE_URL, REDIS_URL ...), NAME_URL
    for each, and SERVICECTX_NAME_DETAILS, by which managed() uses them too. Signals are passed on to it.

    When the command has ended, what it left running is ended, too: background processes and daemons.

    The exit status is the command's; 128 and the signal's number if a signal ended it; 125 if servicectx failed,
    126 if the command cannot be run, 127 if there is no such command.
    """
    words = ctx.meta.get(WORDS)
    if not words:
        raise click.UsageError("Say which command to run, behind --: servicectx run postgres -- pytest")
    guard = Guard()
    try:
        asked = members(services, roles, settings, scope=scope, storage=storage, timeout=timeout)
        with contextlib.ExitStack() as stack:
            with _interruptible():
                stack.enter_context(started(asked, quiet))
            status = child.run(words, _environment(asked, quiet), guard)
    except ServiceCtxError as error:
        error.exit_status = OURS  # type: ignore[attr-defined]
        raise
    finally:
        guard.dismiss()
    raise SystemExit(status)


def _environment(asked: list[Member], quiet: bool) -> dict[str, str]:
    """The command's environment. The details are JSON in it, and in no file: nothing is left, however this one ends."""
    every = [member.managed.details for member in asked]
    found, remarks = variables.of(every)
    if remarks and not quiet:
        for remark in remarks:
            note(f"servicectx: {remark}")
    found |= {external.own_variable(each.name): each.model_dump_json() for each in every if each is not None}
    return variables.combined(os.environ, every, found)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """While services start, a wish to end is one to start nothing: as Ctrl-C, with the status of that signal."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
