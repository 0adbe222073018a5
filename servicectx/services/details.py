"""The base class of all details: fields, secrets hidden from `repr`, the details file."""

import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from servicectx.errors import DetailsError
from servicectx.services import proxies, urls
from servicectx.services.checked import Problems, checked, json_object
from servicectx.system import files


class ServiceDetails(BaseModel):
    """Connection details of one instance. Plain data: picklable, comparable, hashable, usable in other processes.

    `external` is true for a server that servicectx did not start. `repr()` hides the fields named in `secrets`;
    `url` and the details file show them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)
    secrets: ClassVar[frozenset[str]] = frozenset({"password", "token"})
    #: The form of this service's URLs, for `from_url`.
    url_form: ClassVar[urls.Form] = urls.Form()

    #: Variables that can lead clients of this service to another server; `*` stands for any text.
    foreign: ClassVar[tuple[str, ...]] = ()

    service: str
    name: str
    host: str
    port: int = Field(ge=0, le=65535)
    external: bool = False
    #: The set-up that the instance was made by: names, short hash, and when it ran; None without one.
    setup: str | None = None
    #: The program of the server, and why it was chosen: "first on PATH". None where that is unknown; not in `repr`.
    program: str | None = Field(default=None, repr=False)
    program_reason: str | None = Field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The address in the form that this service's clients accept."""
        return f"tcp://{self.host}:{self.port}"

    @property
    def hostname(self) -> str:
        """`host`, under the name that managed-service-fixtures and `urllib.parse` use."""
        return self.host

    @cached_property
    def is_manager(self) -> bool:
        """Whether this process started the server, under the name that managed-service-fixtures uses. It is not a
        field: equal details may differ in it. True for external details, and for details from a file.
        """
        return True

    def env(self) -> dict[str, str]:
        """The environment variables that the service's own tools and usual clients read."""
        return {}

    def unset_env(self, environment: Mapping[str, str] | None = None) -> list[str]:
        """Variables in `environment` (this process's by default) that override `env()` and lead to another server.

        Remove these variables where `env()` is used; `environment()` does so.
        """
        names = proxies.matching(os.environ if environment is None else environment, self.foreign)
        return [name for name in names if name not in self.env()]

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of a process that uses this service, for `subprocess.run(..., env=...)`.

        It is `base` (this process's by default) without `unset_env()`, and with `env()`.
        """
        before = dict(os.environ if base is None else base)
        for name in self.unset_env(before):
            del before[name]
        return before | self.env()

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the details file atomically and return its path: JSON, secrets included, mode 0600.

        An existing file is replaced. Raises OSError where the directory cannot be written.
        """
        target = Path(path)
        files.replace(target, files.beside(target), file_text(self))
        return target

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read the details from a file. Raises DetailsError, which names the path and the field."""
        return cls.parse(read_text(Path(path)), path=str(path))

    @classmethod
    def parse(cls, text: str, *, source: str | None = None, path: str | None = None, **given: Any) -> Self:
        """Read the details from JSON text, strictly: an unknown key or a wrong type is a DetailsError.

        `source` and `path` name the origin of the text in the error. `given` holds fields that the text may omit.
        """
        try:
            raw = json_object(text)
            return checked(cls, given | raw.values, raw.twice)
        except Problems as problems:
            raise problems.error(source, path) from None

    @classmethod
    def from_url(cls, url: str, *, source: str | None = None, **given: Any) -> Self:
        """Read the details from a URL such as `postgresql://user:password@host:5432/dbname`, or from `host:port`.

        Parts are percent-decoded. A missing port is the service's usual port. `source` and `given` are as for
        `parse`; without `given`, the details are external. Raises DetailsError for parts that these details cannot
        hold, such as an unknown parameter. The error text contains only names from the URL, no values.
        """
        try:
            fields = cls.url_fields(urls.fields(url.strip(), cls._form()))
            usual = {"service": cls.usual_service(), "name": cls.usual_service(), "external": True}
            return checked(cls, usual | given | fields)
        except urls.BadUrl as bad:
            raise Problems(*bad.problems).error(source, None) from None
        except Problems as problems:
            raise problems.error(source, None) from None

    @classmethod
    def url_fields(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of a URL converted for this model: numbers as numbers. Raises urls.BadUrl."""
        numbers = {name for name, field in cls.model_fields.items() if field.annotation is int}
        return {
            name: int(value) if name in numbers and isinstance(value, str) and value.isdecimal() else value
            for name, value in fields.items()
        }

    @classmethod
    def _form(cls) -> urls.Form:
        """`url_form`; for a model without one, any scheme, and the parts that have fields in the model."""
        if cls.url_form != urls.Form():
            return cls.url_form
        known = cls.model_fields.keys() & {"user", "password", "dbname"}
        user, password, path = (name if name in known else "" for name in ("user", "password", "dbname"))
        query = {name: name for name in cls.model_fields if name not in ServiceDetails.model_fields}
        return urls.Form(user=user, password=password, path=path, query=query)

    @classmethod
    def usual_service(cls) -> str:
        """The name of this model's service, from the name of the class."""
        return cls.__name__.removesuffix("Details").lower()

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            if name == "setup" and value is None:
                continue
            yield name, "***" if name in self.secrets and value else value

    def __str__(self) -> str:
        return repr(self)


def read_text(path: Path, source: str | None = None) -> str:
    """The text of a details file. Raises DetailsError, which names `source` (a variable), the path and the problem."""
    try:
        return files.read(path).decode("utf-8-sig")
    except files.Unreadable as error:
        problem = str(error)
        if path.is_dir():
            problem += "; name the details file itself"
    except UnicodeDecodeError:
        problem = "it is not a text file"
    raise DetailsError(source=source, path=str(path), problem=problem)


def address(
    scheme: str, host: str, port: int, path: str = "", user: str | None = None, password: str | None = None
) -> str:
    """A URL with each part percent-encoded."""
    login = ""
    if user is not None or password is not None:
        login = quote(user or "", safe="") + (f":{quote(password, safe='')}" if password is not None else "") + "@"
    return f"{scheme}://{login}{place(host, port)}" + (f"/{quote(path, safe='')}" if path else "")


def place(host: str, port: int) -> str:
    """`host:port`, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def unknown_driver(driver: str, known: tuple[str, ...]) -> ValueError:
    """The error of `url_for()`."""
    return ValueError(f"no URL is known for the driver {driver!r}; known: {', '.join(known)}")


def sqlalchemy_address(scheme: str, host: str, port: int, dbname: str, user: str, password: str | None) -> str:
    """A URL for SQLAlchemy: version 2.0 does not percent-decode the database's name, and 2.1 accepts it as it is."""
    return f"{address(scheme, host, port, user=user, password=password)}/{dbname}"


def file_text(details: ServiceDetails) -> str:
    """The content of a details file."""
    return details.model_dump_json(indent=2) + "\n"


def filled(names: dict[str, str]) -> dict[str, str]:
    """The variables with a value: an empty variable would hide a tool's default."""
    return {name: value for name, value in names.items() if value}


def named(details: ServiceDetails) -> dict[str, str]:
    """`<NAME>_URL`, `<NAME>_HOST` and `<NAME>_PORT`, from the name that the service was given."""
    prefix = "".join(letter if letter.isalnum() else "_" for letter in details.name.upper())
    return {f"{prefix}_URL": details.url, f"{prefix}_HOST": details.host, f"{prefix}_PORT": str(details.port)}
