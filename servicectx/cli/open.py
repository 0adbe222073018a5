"""`servicectx open`: start the right service on data that an earlier run kept."""

import contextlib
import json
import os
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from servicectx import Managed, ServiceCtxError, UnknownService, managed
from servicectx.cli import child, console
from servicectx.cli.app import Failed, debug_option
from servicectx.cli.asked import Member, Seconds
from servicectx.cli.guard import Guard
from servicectx.cli.run import OURS, WORDS, WithCommand, _environment, _interruptible
from servicectx.cli.starting import outcome, started
from servicectx.request import opened_data
from servicectx.services import registry

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK = 2.0  # seconds between looks at the server


@click.command(
    cls=WithCommand,
    epilog="""\b
Examples:
  servicectx open /dev/shm/servicectx-1000/postgres-1f0c2a9b7d3e.8a1e4492
  servicectx open PATH -- pg_dump -Fc -f before.dump
  servicectx open PATH --json | jq -r .url
""",
)
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option("--timeout", type=Seconds(), help="Time for the whole start, such as 90s (default 60s).")
@click.option("--json", "as_json", is_flag=True, help="Print the details as an object.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors, and the URL.")
@debug_option
@click.pass_context
def command(ctx: click.Context, path: Path, timeout: float | None, as_json: bool, quiet: bool) -> None:
    """Start the service that wrote the data in PATH, on these very data, until Ctrl-C.

    PATH is the directory that the end of a run named, where keep_data was asked for. The service runs as the account
    that the data belong to, with the options and the password that they had, on a free port. The data stay.

    Behind -- may follow a command, as for `servicectx run`: it gets the variables of the service, and the service ends
    with it. The exit status is then the command's.
    """
    words = ctx.meta.get(WORDS)
    if WORDS in ctx.meta and not words:
        raise click.UsageError("Behind -- belongs a command: servicectx open PATH -- psql")
    if words:
        raise SystemExit(_run(words, path, timeout, quiet))
    member = _member(path, timeout)
    with contextlib.ExitStack() as stack:
        with _interruptible():
            stack.enter_context(started([member], quiet=True))
        with _endings_blocked():
            _show(member, path, as_json, quiet)
            _wait_for_the_end(member.managed)
            if not quiet:
                console.note("stopping; the data stay")
            stack.close()


def _run(words: list[str], path: Path, timeout: float | None, quiet: bool) -> int:
    guard = Guard()
    try:
        member = _member(path, timeout)
        with contextlib.ExitStack() as stack:
            with _interruptible():
                stack.enter_context(started([member], quiet))
            return child.run(words, os.environ | _environment([member], quiet), guard)
    except ServiceCtxError as error:
        error.exit_status = OURS  # type: ignore[attr-defined]
        raise
    finally:
        guard.dismiss()


def _member(path: Path, timeout: float | None) -> Member:
    """The service of the record. Raises KeptDataError, InvalidOption."""
    opened = opened_data.open_record(path)
    record = opened.record
    try:
        service = registry.find(record.service)
    except UnknownService:
        cure = f"open them from Python, with the class of that service: managed(ITS_CLASS, data={str(opened.path)!r})"
        raise opened.refuse(f"service {record.service!r} wrote them, and is not known here", cure) from None
    return Member(record.name, managed(service, name=record.name, data=opened.path, timeout=timeout))


def _show(member: Member, path: Path, as_json: bool, quiet: bool) -> None:
    details: Any = member.managed.details
    if as_json:
        console.say_json({**json.loads(details.model_dump_json()), "url": details.url})
    else:
        console.say(details.url)
    if quiet:
        return
    console.note(f"{member.role}: {outcome(member)}, on the data in {shlex.quote(str(path))}")
    service = registry.find(details.service)
    console.note(f"connect with: {service.shell_command(details)}")
    for name, value in details.env().items():
        console.note(f"  {name}={shlex.quote(value)}")
    console.note("Ctrl-C stops it, and the data stay")


@contextlib.contextmanager
def _endings_blocked() -> Iterator[None]:
    """Signals that end this process wait until they are looked for. A second one cannot break off the clean stop."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
    try:
        yield
    finally:
        while signal.sigpending() & set(ENDINGS):
            signal.sigwait(ENDINGS)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_for_the_end(running: Managed[Any]) -> None:
    """Until one of these signals comes. Raises Failed when the server ends by itself."""
    while True:
        if hasattr(signal, "sigtimedwait"):
            if signal.sigtimedwait(ENDINGS, LOOK) is not None:
                return
        else:
            signal.sigwait(ENDINGS)
            return
        if (failure := running.failure) is not None:
            raise Failed(str(failure))
