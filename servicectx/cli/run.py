"""`servicectx run`: start services, run a command with them, stop them."""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from types import FrameType

import click

from servicectx import ServiceCtxError
from servicectx.cli import child_process, env_templates, variables
from servicectx.cli.app import debug_option
from servicectx.cli.command_watchdog import CommandWatchdog
from servicectx.cli.console import note
from servicectx.cli.selection import Member, members, service_options
from servicectx.cli.start_display import started
from servicectx.request import external
from servicectx.request.resolve import RUN_SCOPE, run_scope

OWN_FAILURE = 125  # exit status: servicectx failed, not the command
ARGV = "servicectx.argv"


class WithCommand(click.Command):
    """A click command. Arguments after the first `--` are the command to run, unparsed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            args, ctx.meta[ARGV] = args[:at], args[at + 1 :]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "-- COMMAND ..."]


@click.command(
    cls=WithCommand,
    epilog="""\b
Examples:
  servicectx run -- pytest             the services that pyproject.toml names
  servicectx run postgres redis -- pytest -n 8
  servicectx run postgres --set postgres.version=16 -- ./manage.py test
  servicectx run --name orders=postgres --name users=postgres -- make check
  servicectx run redis -- sh -c 'redis-cli -u "$REDIS_URL" ping'
  servicectx run postgres --env 'DB_DSN={postgres.sqlalchemy_url}' -- pytest
""",
)
@service_options
@click.option(
    "--env",
    "templates",
    multiple=True,
    metavar="NAME=TEMPLATE",
    help="A variable of the command, such as 'DSN={postgres.sqlalchemy_url}'. May be repeated.",
)
@click.option("--share", is_flag=True, help="Share the servers with other runs and programs of the project.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
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
    templates: tuple[str, ...],
    share: bool,
    quiet: bool,
) -> None:
    """Start services side by side, run a command with them, and stop them when the command has ended.

    The command gets the variables that the services' own tools read (PGHOST, DATABASE_URL, REDIS_URL ...), NAME_URL
    for each service, the variables of the table `env` in the project's configuration, and SERVICECTX_NAME_DETAILS for
    managed(). If several services set the same variable, the first one supplies it. Signals are passed on to the
    command.

    Without names the services of the project's pyproject.toml or setup.cfg are started. The servers belong to this run
    and to all programs that the command starts: another run at the same time has servers of its own. A service that
    `servicectx up` keeps running for the project is joined instead; --share and --scope share with other programs.

    When the command has ended, processes that it left are ended, too: background processes and daemons.

    The exit status is the command's; 128 plus the signal's number if a signal ended it; 125 if servicectx failed,
    126 if the command cannot be run, 127 if there is no such command.
    """
    arguments = ctx.meta.get(ARGV)
    if not arguments:
        raise click.UsageError("Give a command after --: servicectx run postgres -- pytest")
    if share and scope:
        raise click.UsageError("--share is the scope of the project; omit it, or --scope")
    _set_run_scope(share)
    watchdog = CommandWatchdog()
    try:
        selected = members(services, roles, settings, scope=scope, storage=storage, timeout=timeout)
        roles_here = [member.role for member in selected]
        of_project, remarks = env_templates.of_project(roles_here)
        own = [*of_project, *env_templates.parse(templates, roles_here)]
        with contextlib.ExitStack() as stack:
            with _interruptible():
                stack.enter_context(started(selected, quiet))
            status = child_process.run(arguments, _environment(selected, quiet, own, remarks), watchdog)
    except ServiceCtxError as error:
        error.exit_status = OWN_FAILURE  # type: ignore[attr-defined]
        raise
    finally:
        watchdog.dismiss()
    raise SystemExit(status)


def _set_run_scope(share: bool) -> None:
    """Set the default scope of this process and of the command. A run within a run shares the servers of the outer."""
    if share:
        os.environ.pop(RUN_SCOPE, None)
    elif not run_scope():
        os.environ[RUN_SCOPE] = f"run-{os.urandom(8).hex()}"


def _environment(
    selected: list[Member], quiet: bool, own: Iterable[env_templates.EnvTemplate], remarks: Iterable[str]
) -> dict[str, str]:
    """Environment of the command. It holds the details as JSON: a file could be left behind by a kill."""
    every = [member.managed.details for member in selected]
    found, shared = variables.of(every)
    if not quiet:
        for remark in (*shared, *remarks):
            note(f"servicectx: {remark}")
    found |= {external.own_variable(item.name): item.model_dump_json() for item in every if item is not None}
    found |= env_templates.rendered(own, filter(None, every))
    return variables.combined(os.environ, every, found)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """While services start, let SIGTERM and SIGHUP cancel the start, as Ctrl-C does, with the status of the signal."""

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
