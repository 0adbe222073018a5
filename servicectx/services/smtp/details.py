"""Connection details of the mail server, and access to its messages."""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import ClassVar

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address, filled


class SmtpDetails(ServiceDetails):
    """A mail server: `user`, `password`, and `maildir`, the directory of the messages."""

    foreign: ClassVar[tuple[str, ...]] = (
        "SMTP_USER",
        "SMTP_USERNAME",
        "SMTP_PASSWORD",
        "EMAIL_HOST_USER",
        "EMAIL_HOST_PASSWORD",
        "EMAIL_USE_TLS",
        "EMAIL_USE_SSL",
        "MAILDIR",
    )
    url_form: ClassVar[urls.Form] = urls.Form(
        schemes={"smtp": {}},
        port=25,
        user="user",
        password="password",  # noqa: S106  # the name of a field
        query={"maildir": "maildir"},
    )

    user: str = ""
    password: str = ""
    maildir: str | None = None

    @property
    def url(self) -> str:
        """`smtp://user:password@host:port`."""
        return address("smtp", self.host, self.port, user=self.user or None, password=self.password or None)

    @property
    def messages(self) -> list[EmailMessage]:
        """The messages that are now in the maildir, oldest first.

        The headers `X-MailFrom` and `X-RcptTo` contain the envelope, including blind copies. Raises ValueError without
        a maildir in the details.
        """
        if self.maildir is None:
            raise ValueError("these details have no maildir")
        found = [path for part in ("new", "cur") for path in (Path(self.maildir) / part).glob("[!.]*")]
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in sorted(found, key=_order)]

    def env(self) -> dict[str, str]:
        """`SMTP_...`; `EMAIL_...`, named after Django's settings; `EMAIL_URL` for django-environ; `MAILDIR` for mail
        readers.
        """
        endpoint = {"HOST": self.host, "PORT": str(self.port)}
        names = {f"{prefix}_{name}": value for prefix in ("SMTP", "EMAIL") for name, value in endpoint.items()}
        names |= {"SMTP_URL": self.url, "EMAIL_URL": self.url}
        login = {"SMTP_USER": self.user, "SMTP_USERNAME": self.user, "SMTP_PASSWORD": self.password}
        login |= {"EMAIL_HOST_USER": self.user, "EMAIL_HOST_PASSWORD": self.password}
        return names | (filled(login) if self.user else {}) | filled({"MAILDIR": self.maildir or ""})


def _order(path: Path) -> tuple[int, ...]:
    """The time of arrival in the file name of a message. Its microseconds have no leading zeros."""
    found = re.match(r"(\d+)\.M(\d+)P\d+Q(\d+)", path.name)
    return tuple(map(int, found.groups())) if found else ()
