"""Parse URLs such as `postgresql://user:password@host:5432/dbname` into the fields of a details model.

Error texts contain only the scheme and the parameter names of a URL: any other part may contain a password.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import unquote

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
PLACE = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[\w.-]+):\d+(,\S*|/\S*)?", re.ASCII)
NAME = re.compile(r"[A-Za-z_][\w.-]{0,40}", re.ASCII)
TLS = {"rediss": "redis", "valkeys": "redis", "amqps": "amqp", "mqtts": "mqtt", "smtps": "smtp", "tls": "nats"}
TLS |= {"https": "http", "mysqls": "mysql", "kafka+ssl": "kafka"}


class BadUrl(Exception):
    """A URL that is not accepted: pairs of a field (or "") and a problem."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        self.problems = list(problems)
        super().__init__(problems)


class Form(NamedTuple):
    """The form of a service's URLs. Names are fields of the details model; "" where a part has no field.

    `schemes` maps each scheme to the fields that it sets. If empty, every scheme is accepted. With `drivers`, a
    driver may follow a plus, as in SQLAlchemy: `mysql+pymysql`. `port` is the default. `query` maps parameters to
    fields. Parameters in `without_effect` are accepted with these values, or empty.
    """

    schemes: Mapping[str, Mapping[str, object]] = {}
    drivers: bool = False
    port: int | None = None
    user: str = ""
    password: str = ""
    path: str = ""
    query: Mapping[str, str] = {}
    without_effect: Mapping[str, str] = {}


class Parts(NamedTuple):
    """The decoded parts of a URL. `path` is None if it is missing or only a slash."""

    scheme: str
    user: str | None
    password: str | None
    host: str
    port: int | None
    path: str | None
    query: list[tuple[str, str]]


def is_url(text: str) -> bool:
    """Whether `text` has the form of a URL or of `host:port`."""
    return URL.match(text) is not None or PLACE.fullmatch(text) is not None


def fields(text: str, form: Form) -> dict[str, object]:
    """The unchecked fields of a URL. Raises BadUrl with every problem."""
    parts = split(text)
    given: dict[str, object] = {"host": parts.host}
    problems = list(_scheme(parts, form, given))
    port = parts.port or form.port or {"http": 80, "https": 443}.get(parts.scheme)
    if port is None:
        problems.append(("port", "the URL has no port, and this service has no usual one"))
    given["port"] = port
    for part, value, name in (("user", parts.user, form.user), ("password", parts.password, form.password)):
        if value is not None:
            problems += _put(given, name, value, f"the URL has a {part}, which these details cannot hold")
    if parts.path is not None:
        problems += _put(given, form.path, parts.path, "the URL has a path, which these details cannot hold")
    for name, value in parts.query:
        if name in form.without_effect and value in ("", form.without_effect[name]):
            continue
        shown = repr(name) if NAME.fullmatch(name) else "with an odd name"
        problem = f"the URL's parameter {shown} cannot be held by these details; leave it out"
        if form.query:
            problem += f", or use one of: {', '.join(form.query)}"
        problems += _put(given, form.query.get(name, ""), value, problem)
    if problems:
        raise BadUrl(*problems)
    return given


def split(text: str) -> Parts:
    """The parts of a URL or of `host:port`. Raises BadUrl."""
    scheme, _, rest = text.partition("://") if URL.match(text) else ("", "", text)
    rest, has_fragment, _ = rest.partition("#")
    rest, _, query = rest.partition("?")
    netloc, slash, path = rest.partition("/")
    login, has_login, place = netloc.rpartition("@")
    if has_fragment:
        raise BadUrl(("", "the URL has a '#'; in a user, password or path write it as %23"))
    if "," in place:
        raise BadUrl(("host", "the URL names several servers; name one"))
    host, port = _place(place)
    user, has_password, password = login.partition(":")
    return Parts(
        scheme.lower(),
        _decoded(user, "user") or None if has_login else None,
        _decoded(password, "password") if has_password else None,
        _decoded(host, "host"),
        port,
        _decoded(path, "path") or None if slash else None,
        [_parameter(pair) for pair in query.split("&") if pair],
    )


def _place(place: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([^:]*))?", place)
    if found is None:
        raise BadUrl(("host", "the URL's host is not a name or an address; an IPv6 address stands in brackets"))
    host, port = found[1].removeprefix("[").removesuffix("]"), found[2]
    if not host:
        raise BadUrl(("host", "the URL has no host"))
    if not port:
        return host, None
    if not re.fullmatch(r"\d{1,5}", port, re.ASCII) or not 1 <= int(port) <= 65535:
        hint = "in a user or password write / as %2F, ? as %3F and # as %23"
        raise BadUrl(("port", f"the URL's port is not a number from 1 to 65535; {hint}"))
    return host, int(port)


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return _decoded(name, "query"), _decoded(value.replace("+", " "), "query")


def _decoded(text: str, part: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise BadUrl(("", f"the URL's {part} is not UTF-8 after percent-decoding")) from None


def _scheme(parts: Parts, form: Form, given: dict[str, object]) -> Iterator[tuple[str, str]]:
    scheme = parts.scheme.partition("+")[0] if form.drivers else parts.scheme
    if not form.schemes or not scheme:
        return
    if scheme in form.schemes:
        given.update(form.schemes[scheme])
        return
    known = ", ".join(f"{name}://" for name in form.schemes)
    if TLS.get(parts.scheme) in form.schemes:
        yield "", f"{parts.scheme}:// means TLS, which these details cannot hold; known: {known}"
    else:
        yield "", f"{parts.scheme[:20]}:// is not a URL of this service; known: {known}"


def _put(given: dict[str, object], name: str, value: str, problem: str) -> list[tuple[str, str]]:
    if not name:
        return [("", problem)]
    if name in given and given[name] != value:
        return [(name, "the URL gives it twice")]
    given[name] = value
    return []
