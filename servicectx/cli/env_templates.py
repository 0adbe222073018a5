"""Variables by template: the options `--env` of `run` and `env`, and the table `env` of the project's files.

`DSN={postgres.sqlalchemy_url}` stands for a value of the details.
"""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import click

from servicectx import service_names
from servicectx.request import config_env
from servicectx.request.config_env import EnvEntry
from servicectx.system.typos import closest

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class EnvTemplate(NamedTuple):
    """One variable. `{SERVICE.FIELD}` in its text stands for a value of the details; `{{` and `}}` for braces.

    `entry` is the place in the project's files; None for an option `--env`.
    """

    variable: str
    text: str
    entry: EnvEntry | None = None

    def error(self, problem: str) -> Exception:
        """The error that names the place of this template."""
        if self.entry is not None:
            return self.entry.error(problem)
        return click.UsageError(f"--env {self.variable}={self.text}: {problem}")

    def fields(self) -> list[tuple[str, str]]:
        """The pairs of service and field in the text."""
        found = [match[1] for match in _PART.finditer(self.text) if match[1] is not None]
        return [(path.rpartition(".")[0], path.rpartition(".")[2]) for path in found]

    def check(self, known: list[str]) -> None:
        """Raise an error for an invalid text, and for a service that is not in `known`."""
        if not _VARIABLE.fullmatch(self.variable):
            raise self.error(f"{self.variable!r} is not a name of a variable; write NAME=TEMPLATE")
        if any(match[0] in ("{", "}") for match in _PART.finditer(self.text)):
            raise self.error("a single brace; write {{ or }} for a brace")
        for service, field in self.fields():
            if not service or not field:
                raise self.error(f"write {{SERVICE.FIELD}}, such as {{{known[0]}.url}}")
            if service not in known:
                hint = f"{_hint(service, known)}; the services are: {', '.join(known)}"
                raise self.error(f"{service!r} is not among the services{hint}")

    def rendered(self, details: dict[str, Any]) -> str:
        """The value. Raises an error for an unknown field."""

        def value(match: "re.Match[str]") -> str:
            if match[1] is None:
                return match[0][0]
            service, _, field = match[1].rpartition(".")
            return _value(details[service], field, self)

        return _PART.sub(value, self.text)


def parse(given: Iterable[str], services: Iterable[str]) -> list[EnvTemplate]:
    """The templates of `--env` options. Raises click.UsageError, before any service starts."""
    known = list(services)
    templates = []
    for option in given:
        variable, equals, text = option.partition("=")
        if not equals:
            raise click.UsageError(f"--env {option}: write NAME=TEMPLATE, such as 'DSN={{postgres.url}}'")
        templates.append(EnvTemplate(variable, text))
        templates[-1].check(known)
    return templates


def of_project(services: Iterable[str]) -> tuple[list[EnvTemplate], list[str]]:
    """The templates of the project's files for these services, and a remark for each template that needs another one.

    Raises ConfigError, also for a service that neither the project nor servicectx knows.
    """
    here = list(services)
    templates, remarks = [], []
    entries = config_env.entries()
    known = sorted({*here, *service_names()}) if entries else here
    for entry in entries:
        template = EnvTemplate(entry.variable, entry.text, entry)
        template.check(known)
        missing = dict.fromkeys(service for service, _ in template.fields() if service not in here)
        if missing:
            remarks.append(f"{entry.variable} of {entry.path.name} is not set: it needs {', '.join(missing)}")
        else:
            templates.append(template)
    return templates, remarks


def rendered(templates: Iterable[EnvTemplate], details: Iterable[Any]) -> dict[str, str]:
    """The variables. Raises an error for an unknown field, which lists the fields of the details."""
    by_name = {item.name: item for item in details}
    return {template.variable: template.rendered(by_name) for template in templates}


def fields_of(details: Any) -> list[str]:
    """The fields and properties of details that a template can use, but for ones whose value is not a plain text."""
    model = type(details)
    properties = [name for name in dir(model) if isinstance(getattr(model, name, None), property)]
    names = sorted({*model.model_fields, *properties} - {"model_extra", "model_fields_set"})
    return [name for name in names if not name.startswith("_")]


def _value(details: Any, field: str, template: EnvTemplate) -> str:
    known = fields_of(details)
    if field not in known:
        problem = f"{details.name} has no field {field!r}{_hint(field, known)}"
        raise template.error(f"{problem}; fields: {', '.join(known)}")
    value = getattr(details, field)
    return "" if value is None else str(value)


def _hint(word: str, known: list[str]) -> str:
    close = closest(word, known, slips=2)
    return f"; did you mean {close!r}?" if close else ""
