"""The table of variables in docs/variables.md: for each service, `env()` of details with names instead of values."""

from typing import Any

from tests.services import generate

PORT = 6543  # a number that appears in no other value
TEXTS = (
    *("user", "password", "dbname", "token", "mount", "prefix", "bucket", "access_key", "secret_key", "region"),
    *("namespace", "vhost", "maildir", "security_protocol", "sasl_mechanism"),
)
VALUES: dict[str, Any] = {field: field.upper() for field in TEXTS} | {"db": 7}
VALUES |= {"maildir": "/MAILDIR"}


def sample(service: str, **fields: Any) -> Any:
    """Details of a namespace, with every field that `env()` uses. `NAME` is the name of an app or a command."""
    model = generate.service(service).details_model()
    named = "NAME" if service in ("asgi", "wsgi", "command") else service
    values = {field: value for field, value in VALUES.items() if field in model.model_fields}
    if service == "zookeeper":
        values["prefix"] = "/PREFIX"
    if service == "nats":
        del values["token"]  # it takes the place of user and password
    return model(**{"service": service, "name": named, "host": "HOST", "port": PORT, **values, **fields})


def absent(service: str) -> dict[str, list[str]]:
    """For each field that is empty by default, the variables that are absent while it is empty."""
    details = sample(service)
    found: dict[str, list[str]] = {}
    for field, info in type(details).model_fields.items():
        if field in TEXTS and not info.default:
            without = details.model_copy(update={field: ""}).env()
            if gone := [name for name in details.env() if name not in without]:
                found[field] = gone
    return found


def table() -> str:
    """A table for each service."""
    lines: list[str] = []
    for service in generate.folders():
        needs: dict[str, list[str]] = {}
        for field, names in absent(service).items():
            for name in names:
                needs.setdefault(name, []).append(f"`{field}`")
        lines += ["", f"### {service}", "", "| variable | value | only with |", "|---|---|---|"]
        for name, value in sample(service).env().items():
            shown = value.replace(str(PORT), "PORT").replace("/7", "/DB") if value != "7" else "DB"
            lines.append(f"| `{name}` | `{shown}` | {' and '.join(needs.get(name, []))} |")
    return "\n".join([*lines, ""])
