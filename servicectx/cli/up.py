"""`servicectx up`: start services that stay until `servicectx down`, or for a time after their last user."""

import json
from pathlib import Path

import click

from servicectx.cli import current_instance, env_formats
from servicectx.cli.app import Failed, debug_option
from servicectx.cli.console import age, say
from servicectx.cli.env import written
from servicectx.cli.parameters import Seconds
from servicectx.cli.selection import Member, members, service_options
from servicectx.cli.start_display import started
from servicectx.client import inventory
from servicectx.client.inventory import Running


@click.command(
    epilog="""\b
Examples:
  servicectx up                        the services that pyproject.toml names
  servicectx up postgres redis
  servicectx up postgres --linger 2h --set postgres.setup=schema.sql
  eval "$(servicectx up postgres --format sh)"
  servicectx up orders --persist       data that survives down, crashes and reboots
  servicectx up redis --details-dir ~/.config/services
""",
)
@service_options
@click.option(
    "--linger",
    type=Seconds(),
    default="forever",
    show_default=True,
    help="Time to stay after the last user has left, such as 2h.",
)
@click.option(
    "--keep-data", is_flag=True, default=None, help="Keep the data when the service ends, and print their path."
)
@click.option(
    "--persist", is_flag=True, default=None, help="Data that stays, for development: see `servicectx persist --help`."
)
@click.option(
    "--details-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write NAME.json there, for SERVICECTX_NAME_DETAILS. Removed when the service ends.",
)
@click.option(
    "--format", "form", type=click.Choice(list(env_formats.FORMATS)), help="Print variables instead of advice."
)
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
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
    persist: bool | None,
    details_dir: Path | None,
    form: str | None,
    quiet: bool,
) -> None:
    """Start services, or join running ones, and leave them running for the shell, the tests and all programs that
    request the same.

    Programs of the project that call managed("postgres") join the instance of `servicectx up postgres`, and so does
    `servicectx run postgres`. Without names the services of the project's pyproject.toml or setup.cfg are started.
    """
    if linger <= 0:
        raise click.UsageError("--linger: with 0 the service would stop at once; use `servicectx run` for that")
    arguments = {"scope": scope, "storage": storage, "timeout": timeout, "linger": linger}
    selected = members(services, roles, settings, keep_data=keep_data, persist=persist, **arguments)
    with started(selected, quiet):
        here = [_running(member) for member in selected if not member.managed.external]
        for instance in here:
            instance.instance.mark_up(instance.state.id)
            if not quiet:
                _note_former(instance)
        if details_dir is not None:
            _write_details(here, details_dir)
    if form is not None:
        say(written(here, form))
    elif not quiet:
        for line in _advice(here, linger, scope):
            say(line)


def _running(member: Member) -> Running:
    _, key, id = json.loads(member.managed.ticket or "")  # the member is still entered, so its instance exists
    return next(instance for instance in inventory.running() if (instance.key, instance.state.id) == (key, id))


def _note_former(started: Running) -> None:
    """Name the instances of other configurations that have this name."""
    state = started.state
    same = [each for each in inventory.running() if (each.state.name, each.state.scope) == (state.name, state.scope)]
    if len(same) > 1:
        current_instance.note_others(started, same, "has the present configuration")


def _write_details(here: list[Running], directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for instance in here:
            instance.hand_out((directory / f"{instance.state.name}.json").absolute())
    except OSError as error:
        raise Failed(f"--details-dir {directory}: {error.strerror}") from None


def _advice(here: list[Running], linger: float, scope: str | None) -> list[str]:
    if not here:
        return ["Nothing was started: the details come from outside."]
    end = "until `servicectx down`" if linger == float("inf") else f"until {age(linger)} after its last user"
    names = " ".join(instance.state.name for instance in here)
    option = f" --scope {scope}" if scope else ""
    lines = [
        (f'eval "$(servicectx env{option})"', "variables for this shell: bash, zsh"),
        (f"servicectx env{option} --format fish | source", "fish"),
        (f"servicectx env{option} --format dotenv --output .env", "a file"),
        (f"servicectx shell {here[0].state.name}{option}", "its client"),
        (f"servicectx down{option}", "stop"),
    ]
    width = max(len(line) for line, _ in lines)
    return [f"{names}: up {end}", "", *(f"  {line.ljust(width)}  {purpose}" for line, purpose in lines)]
