"""The command line: `servicectx`, and `python -m servicectx`."""

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command line; docs/cli.md lists the exit statuses. Without the extra `cli`: a hint and status 2."""
    try:
        import click  # noqa: F401

        if find_spec("rich") is None:  # imported only for a terminal
            raise ImportError("rich")
    except ImportError:
        from servicectx.cli import eval_output

        if line := eval_output.failure(sys.argv[1:]):
            sys.stdout.write(f"{line}\n")
        sys.stderr.write("servicectx: the command line needs the extra 'cli': pip install 'servicectx[cli]'\n")
        raise SystemExit(2) from None
    from servicectx.cli.app import run

    run()
