"""`servicectx up`: start services that stay until they are told to go, or nobody has used them for a while."""

import json
from pathlib import Path

import click

from servicectx.cli import variables
from servicectx.cli.app import Failed, debug_option
from servicectx.cli.asked import Member, Seconds, members, service_options
from servicectx.cli.console import age, say
from servicectx.cli.env import written
from servicectx.cli.starting import started
from servicectx.client import inventory
from servicectx.client.inventory import Running


@click.command(
    epilog="""\b
Examples:
  servicectx up postgres redis
  servicectx up postgres --linger 2h --set postgres.setup=schema.sql
  eval "$(servicectx up postgres --format sh)"
  servicectx up redis --details-dir ~/.config/services
""",
)
@service_options
@click.option(
    "--linger",
    type=Seconds(),
    default="forever",
    show_default=True,
    help="How long to stay after the last user has left, such as 2h.",
)
@click.option("--keep-data", is_flag=True, default=None, help="Leave the data when it goes, and say where.")
@click.option(
    "--details-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write NAME.json there, for SERVICECTX_NAME_DETAILS. Removed when the service goes.",
)
@click.option("--format", "form", type=click.Choice(list(variables.FORMATS)), help="Print variables instead of advice.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@debug_option
def command(
    services: tuple[str, ...],
    roles: tuple[str, ...],
    settings: tuple[str, ...],
    scope: str | None,
    storage: str | None,
    timeout: float | None,
    linger: float,
    keep_data: bool | None,
    details_dir: Path | None,
    form: str | None,
    quiet: bool,
) -> None:
    """Start services, or join running ones, and leave them running for the shell, the tests and everybody else who
    asks for the same.

    Programs of the project that say managed("postgres") join what `servicectx up postgres` started.
    """
    if linger <= 0:
        raise click.UsageError("--linger: with 0 it would stop at once; `servicectx run` is for that")
    more = {"scope": scope, "storage": storage, "timeout": timeout, "linger": linger}
    asked = members(services, roles, settings, keep_data=keep_data, **more)
    with started(asked, quiet):
        here = [_running(member) for member in asked if not member.managed.external]
        if details_dir is not None:
            _write_details(here, details_dir)
    if form is not None:
        say(written(here, form))
    elif not quiet:
        for line in _advice(here, linger, scope):
            say(line)


def _running(member: Member) -> Running:
    _, key, id = json.loads(member.managed.ticket or "")  # still held: it is there
    return next(each for each in inventory.running() if (each.key, each.state.id) == (key, id))


def _write_details(here: list[Running], directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in here:
            each.hand_out((directory / f"{each.state.name}.json").absolute())
    except OSError as error:
        raise Failed(f"--details-dir {directory}: {error.strerror}") from None


def _advice(here: list[Running], linger: float, scope: str | None) -> list[str]:
    if not here:
        return ["Nothing was started: the details come from outside."]
    end = "until `servicectx down`" if linger == float("inf") else f"until nobody has held it for {age(linger)}"
    names = " ".join(each.state.name for each in here)
    more = f" --scope {scope}" if scope else ""
    lines = [
        (f'eval "$(servicectx env{more})"', "variables for this shell: bash, zsh"),
        (f"servicectx env{more} --format fish | source", "fish"),
        (f"servicectx env{more} --format dotenv > .env", "a file"),
        (f"servicectx shell {here[0].state.name}{more}", "look into it"),
        (f"servicectx down{more}", "stop"),
    ]
    width = max(len(line) for line, _ in lines)
    return [f"{names}: up {end}", "", *(f"  {line.ljust(width)}  {what}" for line, what in lines)]
