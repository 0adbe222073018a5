"""A real mail server, with smtplib. Messages are read from its maildir."""

import mailbox
import os
import smtplib
import stat
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from servicectx import InvalidOption, NotIsolable, SmtpDetails, StartFailed, isolated, managed
from servicectx.isolation import owner_names
from servicectx.services import registry
from servicectx.services.smtp.server import password as smtp_password
from tests import servers
from tests.services import killed
from tests.services.row import Row, no_password, password

ROWS = [
    Row(
        "smtp",
        volatile="details.messages",
        logins=(password(user="shop/../ada@example.test"), no_password(user="")),
    ),
]


def message(subject: str, text: str = "", to: str = "ada@example.test") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "shop@example.test", to, subject
    mail.set_content(text)
    return mail


def connect(details: SmtpDetails) -> smtplib.SMTP:
    client = smtplib.SMTP(details.host, details.port, timeout=30)
    try:
        if details.user:
            client.login(details.user, details.password)
    except BaseException:
        client.close()
        raise
    return client


def put(details: SmtpDetails, name: str, value: str) -> None:
    with connect(details) as client:
        client.send_message(message(name, value))


def get(details: SmtpDetails, name: str) -> str | None:
    found = [mail for mail in details.messages if mail["Subject"] == name]
    return found[-1].get_content().strip() if found else None


def test_a_user_is_no_path_to_another_maildir(tmp_path: Path) -> None:
    """Without a password everybody can compute the password of any user."""
    with managed("smtp", password=None) as smtp:
        for user in (str(tmp_path / "mine"), "../mine", "sc_../mine", "test", "sc_missing"):
            with pytest.raises(smtplib.SMTPAuthenticationError):
                connect(smtp.model_copy(update={"user": user, "password": smtp_password("", user)}))
        with isolated(smtp) as mine:
            put(mine, "a", "1")
            assert (get(mine, "a"), get(smtp, "a")) == ("1", None)


def test_a_login_that_smtplib_cannot_send_is_refused() -> None:
    logins: list[dict[str, Any]] = [{"user": "ü"}, {"password": "ü"}]
    for login in logins:
        with pytest.raises(InvalidOption, match="ASCII"):
            managed("smtp", **login).__enter__()


def test_what_was_sent_is_there() -> None:
    with managed("smtp") as smtp:
        assert smtp.messages == []
        with connect(smtp) as client:
            client.send_message(message("Grüße", "Schöne Grüße\n.\n"), to_addrs=["ada@example.test", "hidden@b.test"])
            client.send_message(message("second"))
        first, second = smtp.messages
        assert (first["Subject"], first["To"], first.get_content()) == (
            "Grüße",
            "ada@example.test",
            "Schöne Grüße\n.\n",
        )
        assert (first["X-MailFrom"], first["X-RcptTo"]) == ("shop@example.test", "ada@example.test, hidden@b.test")
        assert second["Subject"] == "second"
        assert smtp.maildir is not None
        assert len(mailbox.Maildir(smtp.maildir, create=False)) == 2
    assert smtp.messages == []


def test_many_are_in_order() -> None:
    with managed("smtp") as smtp:
        with connect(smtp) as client:
            for number in range(30):
                client.send_message(message(str(number)))
        assert [mail["Subject"] for mail in smtp.messages] == [str(number) for number in range(30)]


def test_attachments_and_international_addresses() -> None:
    sent = message("invoice", "see below", to="jürgen@exämple.test")
    sent.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="invoice.pdf")
    with managed("smtp") as smtp:
        with connect(smtp) as client:
            client.send_message(sent)
        (got,) = smtp.messages
        assert got["X-RcptTo"] == "jürgen@exämple.test"
        assert [(part.get_filename(), part.get_content()) for part in got.iter_attachments()] == [
            ("invoice.pdf", b"%PDF")
        ]


def test_wrong_credentials_are_refused() -> None:
    with managed("smtp") as smtp:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            connect(smtp.model_copy(update={"password": "guess"}))
        with pytest.raises(smtplib.SMTPAuthenticationError):
            connect(smtp.model_copy(update={"user": "somebody"}))
        with connect(smtp.model_copy(update={"user": ""})) as client:
            client.ehlo()
            assert client.docmd("MAIL", "FROM:<a@example.test>")[0] == 530
        assert smtp.messages == []


def test_logins_may_be_left_out() -> None:
    with managed("smtp", login=False) as smtp:
        put(smtp.model_copy(update={"user": ""}), "colour", "green")
        put(smtp, "shape", "round")
        assert [mail["Subject"] for mail in smtp.messages] == ["colour", "shape"]
        with isolated(smtp) as mine, pytest.raises(smtplib.SMTPAuthenticationError):
            connect(mine.model_copy(update={"password": smtp.password}))


def test_settings_reach_the_server() -> None:
    with managed("smtp", settings={"data_size_limit": 1000, "hostname": "mail.example.test"}) as smtp:
        with connect(smtp) as client:
            assert client.ehlo()[1].startswith(b"mail.example.test")
            with pytest.raises(smtplib.SMTPSenderRefused, match="maximum"):
                client.send_message(message("long", "x" * 2000))
        assert smtp.messages == []


def test_a_bad_setting_fails_with_the_server_s_own_words() -> None:
    with pytest.raises(StartFailed, match="unexpected keyword argument 'colour'"):
        managed("smtp", settings={"colour": "green"}).__enter__()


def test_the_log_tells_who_wrote_to_whom_and_no_password() -> None:
    service = managed("smtp")
    with service as smtp:
        put(smtp, "colour", "green")
        log = Path(service.log_path or "").read_text()
    assert log == "test: {'X-MailFrom': 'shop@example.test', 'X-RcptTo': 'ada@example.test'}\n"


def test_it_is_private() -> None:
    with managed("smtp") as smtp:
        put(smtp, "colour", "green")
        assert servers.listens_on_loopback_only(smtp.port)
        assert smtp.maildir is not None
        for path in [Path(smtp.maildir), *Path(smtp.maildir).rglob("*")]:
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_details() -> None:
    smtp = SmtpDetails(service="smtp", name="mail", host="mail.test", port=25, external=True)
    assert (smtp.url, set(smtp.env())) == (
        "smtp://mail.test:25",
        {"SMTP_URL", "SMTP_HOST", "SMTP_PORT", "EMAIL_URL", "EMAIL_HOST", "EMAIL_PORT"},
    )
    with pytest.raises(ValueError, match="no maildir"):
        smtp.messages  # noqa: B018
    login = smtp.model_copy(update={"user": "a", "password": "p@s"})
    assert login.url == "smtp://a:p%40s@mail.test:25"
    assert login.env()["EMAIL_HOST_PASSWORD"] == login.env()["SMTP_PASSWORD"] == "p@s"
    assert "p@s" not in repr(login)
    assert smtp.model_copy(update={"maildir": "/mail/a"}).env() == smtp.env() | {"MAILDIR": "/mail/a"}


def test_the_environment_is_enough_for_django() -> None:
    script = """
import os
from django.conf import settings
names = ("EMAIL_HOST", "EMAIL_PORT", "EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD")
settings.configure(**{name: os.environ[name] for name in names})
from django.core.mail import send_mail
send_mail("from Django", "hello", "a@example.test", ["b@example.test"])
"""
    with managed("smtp") as smtp:
        subprocess.run([sys.executable, "-c", script], env=os.environ | smtp.env(), check=True)
        assert get(smtp, "from Django") == "hello"


# -- namespaces --------------------------------------------------------------------------------------------------


def test_a_namespace_is_a_user_with_a_maildir() -> None:
    with managed("smtp") as smtp:
        with isolated(smtp) as mine, isolated(smtp) as yours:
            assert mine.maildir is not None
            assert Path(mine.maildir).is_dir()
            assert len({details.password for details in (smtp, mine, yours)}) == 3
            put(mine, "colour", "green")
            assert [len(details.messages) for details in (mine, yours, smtp)] == [1, 0, 0]
            with pytest.raises(smtplib.SMTPAuthenticationError):
                connect(mine.model_copy(update={"password": yours.password}))
        assert not Path(mine.maildir).exists()


def test_what_a_killed_user_left_is_removed() -> None:
    with managed("smtp") as smtp:
        killed.in_a_namespace(smtp)
        assert smtp.maildir is not None
        mail = Path(smtp.maildir).parent
        assert len(list(mail.iterdir())) == 2
        with isolated(smtp) as mine:
            assert {folder.name for folder in mail.iterdir()} == {"test", mine.user}


def test_one_that_is_kept_outlives_its_maker(monkeypatch: pytest.MonkeyPatch) -> None:
    with managed("smtp") as smtp:
        users = registry.find("smtp").isolation(smtp)
        assert users is not None
        kept = users.open()
        put(kept, "colour", "green")
        users.keep(kept)
        with isolated(smtp) as left:
            monkeypatch.setattr(owner_names, "owner_is_dead", lambda name: name in (kept.user, left.user))
            with isolated(smtp):
                assert get(kept, "colour") == "green"
                assert not Path(left.maildir or "").exists()


def test_others_servers_make_no_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_EXTERNAL_WAIT", "0")
    monkeypatch.setenv("SERVICECTX_SMTP_DETAILS", '{"host": "mail.test", "port": 25}')
    with managed("smtp") as smtp, pytest.raises(NotIsolable, match="need a server that servicectx started"):
        isolated(smtp).__enter__()
