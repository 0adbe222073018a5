"""The base of all details: fields, secrets that stay out of `repr`, the details file."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from servicectx._originals import open
from servicectx.errors import DetailsError


class ServiceDetails(BaseModel):
    """How to connect to one instance. Plain data: it can be pickled, compared, hashed and sent to other processes.

    `external` is true when the details came from outside, so that nothing was started. Fields named in `secrets`
    never show in `repr()`; they do in `url` and in the details file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)
    secrets: ClassVar[frozenset[str]] = frozenset({"password", "token"})

    service: str
    name: str
    host: str
    port: int = Field(ge=0, le=65535)
    external: bool = False

    @property
    def url(self) -> str:
        """The address in the form that this service's clients read."""
        return f"tcp://{self.host}:{self.port}"

    def env(self) -> dict[str, str]:
        """The environment variables that the service's own tools and usual clients read."""
        return {}

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the details file: JSON, secrets included, mode 0600, whole or not at all. Gives its path.

        The second time it replaces the first. Raises OSError where the directory cannot be written.
        """
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(self.model_dump_json(indent=2) + "\n")
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            raise
        return target

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """The details in a file that `write` or a person made. Raises DetailsError naming the path and the field."""
        return cls.parse(read_text(Path(path)), path=str(path))

    @classmethod
    def parse(cls, text: str, *, source: str | None = None, path: str | None = None, **given: Any) -> Self:
        """Details from JSON text, strictly: an unknown key or a wrong type is a DetailsError.

        `source` and `path` say in the error where the text came from; `given` are fields the text need not hold.
        """
        from servicectx._originals import json

        try:
            raw = json.loads(text)
        except ValueError as error:
            raise DetailsError(source=source, path=path, problem=f"it is not JSON: {error}") from None
        if not isinstance(raw, dict):
            raise DetailsError(source=source, path=path, problem=f"it holds a {type(raw).__name__}, not a JSON object")
        try:
            return cls.model_validate_json(json.dumps(given | raw), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            problem = first["msg"]
            if first["type"] == "extra_forbidden":
                problem = f"unknown field; {cls.__name__} has {', '.join(cls.model_fields)}"
            raise DetailsError(source=source, path=path, field=field, problem=problem) from None

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, "***" if name in self.secrets and value else value

    def __str__(self) -> str:
        return repr(self)


def read_text(path: Path, source: str | None = None) -> str:
    """The text of a details file. Raises DetailsError that names `source` (a variable), the path and the problem."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        problem = "there is no such file"
    except IsADirectoryError:
        problem = "it is a directory; name the details file itself"
    except UnicodeDecodeError:
        problem = "it is not a text file"
    except OSError as error:
        problem = f"it cannot be read: {error.strerror}"
    raise DetailsError(source=source, path=str(path), problem=problem)


def address(
    scheme: str, host: str, port: int, path: str = "", user: str | None = None, password: str | None = None
) -> str:
    """A URL with every part quoted as its place demands."""
    login = ""
    if user is not None or password is not None:
        login = quote(user or "", safe="") + (f":{quote(password, safe='')}" if password is not None else "") + "@"
    return f"{scheme}://{login}{place(host, port)}" + (f"/{quote(path, safe='')}" if path else "")


def place(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def sqlalchemy_address(scheme: str, host: str, port: int, dbname: str, user: str, password: str | None) -> str:
    """A URL as SQLAlchemy reads it: version 2.0 takes the database's name as it stands, and so can 2.1."""
    return f"{address(scheme, host, port, user=user, password=password)}/{dbname}"


def filled(names: dict[str, str]) -> dict[str, str]:
    """The variables that say something: an empty one would hide what a tool takes by default."""
    return {name: value for name, value in names.items() if value}


def named(details: ServiceDetails) -> dict[str, str]:
    """`<NAME>_URL`, `<NAME>_HOST` and `<NAME>_PORT`, after the name that a service was given."""
    prefix = "".join(letter if letter.isalnum() else "_" for letter in details.name.upper())
    return {f"{prefix}_URL": details.url, f"{prefix}_HOST": details.host, f"{prefix}_PORT": str(details.port)}
