"""`servicectx completion`: shell completion of commands, services and names of instances."""

import click
from click.shell_completion import get_completion_class

from servicectx.cli.app import PROGRAM, app, debug_option
from servicectx.cli.console import say


@click.command(
    epilog="""\b
Examples:
  eval "$(servicectx completion bash)"                                     in ~/.bashrc
  eval "$(servicectx completion zsh)"                                      in ~/.zshrc
  servicectx completion fish > ~/.config/fish/completions/servicectx.fish
""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@debug_option
def command(shell: str) -> None:
    """Print the shell code that completes servicectx."""
    kind = get_completion_class(shell)
    assert kind is not None
    say(kind(app, {}, PROGRAM, "_SERVICECTX_COMPLETE").source())
