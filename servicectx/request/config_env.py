"""Variables of a project, by template: the table `env` in `[tool.servicectx]`, or `env` in setup.cfg."""

from pathlib import Path
from typing import NamedTuple

from servicectx.errors import ConfigError
from servicectx.request import config


class EnvEntry(NamedTuple):
    """One variable of a file. `text` is its template, such as `{orders.url}`."""

    path: Path
    key: str
    variable: str
    text: str

    def error(self, problem: str) -> ConfigError:
        return ConfigError(path=str(self.path), key=self.key, problem=problem)


def entries() -> list[EnvEntry]:
    """The variables of this project, in the order of the file. Raises ConfigError."""
    table = config.env_table()
    if table is None:
        return []
    path, key, raw = table
    if not isinstance(raw, dict) or "service" in raw:
        problem = 'write a table of variables, such as {DSN = "{orders.url}"}; a service cannot have the name env'
        raise ConfigError(path=str(path), key=key, problem=problem)
    found = [EnvEntry(path, f"{key}.{variable}", variable, text) for variable, text in raw.items()]
    for entry in found:
        if not isinstance(entry.text, str):
            raise entry.error(f"{entry.text!r} is not a text, such as '{{orders.url}}'")
    return found
