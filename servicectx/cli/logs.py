"""`servicectx logs`: the log of a server."""

import os
import sys
import time
from collections import deque
from typing import BinaryIO

import click

from servicectx.cli.app import Failed, debug_option
from servicectx.cli.instances import choose_one, optional_name_argument, scope_option
from servicectx.client.inventory import Running
from servicectx.system import reading


@click.command(
    epilog="""\b
Examples:
  servicectx logs
  servicectx logs postgres
  servicectx logs postgres -n 20 -f
""",
)
@optional_name_argument
@scope_option
@click.option("-n", "--lines", type=click.IntRange(min=0), help="Print the last N lines only.")
@click.option("-f", "--follow", is_flag=True, help="Print new lines until the instance is gone, or Ctrl-C.")
@debug_option
def command(name: str | None, scope: str | None, lines: int | None, follow: bool) -> None:
    """Print the log of an instance: stdout and stderr of its server. NAME may be left out where one service runs."""
    instance = choose_one(name, scope, phases=())
    try:
        with reading.open_log(instance.log) as file:
            _print(file if lines is None else deque(file, lines))
            if follow:
                _follow(instance, file)
    except FileNotFoundError:
        raise Failed(
            f"{instance.state.name} has no log: the instance is gone, or its server has not started yet"
        ) from None
    except OSError as error:
        raise Failed(f"the log {instance.log} cannot be read: {error.strerror}") from None
    except KeyboardInterrupt:
        if not follow:
            raise


def _print(chunks: "BinaryIO | deque[bytes]") -> None:
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
    sys.stdout.flush()


def _follow(instance: Running, file: BinaryIO) -> None:
    while True:
        gone = not os.path.exists(instance.log)
        if chunk := file.read():
            _print(deque([chunk]))
        elif gone:
            return
        time.sleep(0.1)
