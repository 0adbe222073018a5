"""Variables by template, in the options `--env` of `run` and `env`: `DSN={postgres.sqlalchemy_url}`."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import click

from servicectx.system.typos import closest

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_VARIABLE = re.compile(r"[A-Za-z_]\w*")


class EnvTemplate(NamedTuple):
    """One variable. `{SERVICE.FIELD}` in its text stands for a value of the details; `{{` and `}}` for braces."""

    variable: str
    text: str

    def fields(self) -> list[tuple[str, str]]:
        """The pairs of service and field in the text."""
        found = [match[1] for match in _PART.finditer(self.text) if match[1] is not None]
        return [(path.rpartition(".")[0], path.rpartition(".")[2]) for path in found]

    def rendered(self, details: dict[str, Any]) -> str:
        """The value. Raises click.UsageError for an unknown field."""

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
        if not equals or not _VARIABLE.fullmatch(variable):
            raise click.UsageError(f"--env {option}: write NAME=TEMPLATE, such as 'DSN={{postgres.url}}'")
        templates.append(template := EnvTemplate(variable, text))
        if any(match[0] in ("{", "}") for match in _PART.finditer(text)):
            raise click.UsageError(f"--env {option}: a single brace; write {{{{ or }}}} for a brace")
        for service, field in template.fields():
            if not service or not field:
                raise click.UsageError(f"--env {option}: write {{SERVICE.FIELD}}, such as {{{known[0]}.url}}")
            if service not in known:
                hint = closest(service, known)
                hint = f"did you mean {hint!r}?" if hint else f"the services are: {', '.join(known)}"
                raise click.UsageError(f"--env {option}: {service!r} is not among the services; {hint}")
    return templates


def rendered(templates: Iterable[EnvTemplate], details: Iterable[Any]) -> dict[str, str]:
    """The variables. Raises click.UsageError, which lists the fields of the details."""
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
        problem = f"{details.name} has no field {field!r}"
        raise click.UsageError(f"--env {template.variable}={template.text}: {problem}; fields: {', '.join(known)}")
    value = getattr(details, field)
    return "" if value is None else str(value)
