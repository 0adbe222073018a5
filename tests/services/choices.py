"""The table of docs/services/choices.md: for each service, the options for address, login, database and server.

A choice that a service does not have is in `Service.not_possible`, with the reason. `tests/services/test_choices.py`
checks each cell; `python -m tests.services.page` writes the page.
"""

import re
from pathlib import Path
from typing import Any

from servicectx import service_names
from servicectx.services import registry
from servicectx.services.base import Service
from servicectx.services.options import option_names

FOLDER = Path(__file__).parents[2] / "docs/services"

# The choices, each with the options that make it. An option in `not_possible` has the name of the choice.
CHOICES: dict[str, tuple[str, ...]] = {
    "port": ("port",),
    "ports": ("ports",),
    "user": ("user", "access_key"),
    "password": ("password", "token", "secret_key"),
    "password=None": ("password", "token", "secret_key"),
    "dbname": ("dbname", "vhost", "buckets"),
    "socket": ("socket",),
    "version": ("version",),
    "flavour": ("flavour", "server"),
}
ONE_PORT = "it has one port"


def services() -> list[Service[Any]]:
    return [registry.find(name) for name in service_names() if name in registry.BUILT_IN]


def further_ports(service: Service[Any]) -> list[str]:
    """The names for `ports=`, from the page of the service, which `test_address` compares with its plans."""
    page = (FOLDER / f"{service.name}.md").read_text(encoding="utf-8")
    found = re.search("^Further ports, for `ports=`: (.*?)\n\n", page, re.MULTILINE | re.DOTALL)
    return re.findall(r"`(\w+)`", found[1]) if found else []


def options(service: Service[Any], choice: str) -> list[str]:
    """The options of the service that make the choice; none where it is not possible."""
    if reason(service, choice):
        return []
    known = (*option_names(service.Options), "port", "ports")
    found = [name for name in CHOICES[choice] if name in known]
    return found[:1] if choice == "password=None" else found


def reason(service: Service[Any], choice: str) -> str | None:
    """Why the choice is not possible; None where it is."""
    if choice == "ports":
        return None if further_ports(service) else ONE_PORT
    if choice == "password=None" and "password" not in option_names(service.Options):
        choice = choice if choice in service.not_possible else "password"  # then it never has a login
    return service.not_possible.get(choice)


def table() -> str:
    """A row for each service with its options for each choice, then a row for each reason of the empty cells."""
    lines = ["", f"| service | {' | '.join(_title(choice) for choice in CHOICES)} |", "|---" * (len(CHOICES) + 1) + "|"]
    for service in services():
        lines.append(f"| [{service.name}]({service.name}.md) | {' | '.join(_cells(service))} |")
    lines += ["", "## Not possible", "", "| option | services | why it is not possible |", "|---|---|---|"]
    for choice in CHOICES:
        reasons: dict[str, list[str]] = {}
        for service in services():
            if text := reason(service, choice):
                reasons.setdefault(text, []).append(service.name)
        lines += [f"| `{choice}` | {', '.join(names)} | {text} |" for text, names in reasons.items()]
    return "\n".join([*lines, ""])


def _cells(service: Service[Any]) -> list[str]:
    cells = []
    for choice in CHOICES:
        found = options(service, choice)
        if choice == "ports":
            found = further_ports(service)
        elif choice in ("password=None", "socket"):
            found = [f"{name}={'True' if choice == 'socket' else 'None'}" for name in found]
        cells.append(", ".join(f"`{name}`" for name in found) or "-")
    return cells


def _title(choice: str) -> str:
    return {"password=None": "no login", "dbname": "database", "flavour": "server"}.get(choice, choice)
