"""Client programs beside a server: where they are, and how they connect."""

import os
import shutil
from collections.abc import Sequence
from typing import Any, NamedTuple

from servicectx.errors import BinaryNotFound
from servicectx.services import binaries
from servicectx.services.base import Service


class ClientProgram(NamedTuple):
    """A command with its environment, for `subprocess`."""

    command: list[str]
    environment: dict[str, str]


def resolve(
    service: Service[Any], details: Any, program: str | None, arguments: Sequence[str | os.PathLike[str]]
) -> ClientProgram:
    """The command for these arguments. A name without a directory is searched beside the server's `program` first.

    The service's own client also gets the arguments that connect it. Raises BinaryNotFound, ValueError.
    """
    if isinstance(arguments, str) or not arguments:
        raise ValueError(f'exec() takes a list of arguments, such as ["psql", "-c", "select 1"], not {arguments!r}')
    name, *rest = [os.fspath(argument) for argument in arguments]
    client = service.client(details)
    environment = details.environment()
    if client is None or name not in client.search.programs:
        return ClientProgram([_found(service, name, program), *rest], environment)
    path = _beside(program, name) or binaries.find_as_written(client.search)
    return ClientProgram([path, *client.arguments, *rest], environment | client.environment)


def _found(service: Service[Any], name: str, program: str | None) -> str:
    if os.path.dirname(name):
        return name
    path = _beside(program, name) or shutil.which(name)
    if path is None:
        beside = [os.path.dirname(os.path.realpath(program))] if program is not None else []
        looked = [*beside, f"PATH ({os.environ.get('PATH', '') or 'empty'})"]
        raise BinaryNotFound(service=service.name, binary=name, looked=looked)
    return path


def _beside(program: str | None, name: str) -> str | None:
    """The program `name` in the directory of the server's program."""
    return None if program is None else shutil.which(name, path=os.path.dirname(os.path.realpath(program)))
