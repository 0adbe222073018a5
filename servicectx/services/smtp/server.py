"""Run a mail server that stores messages in maildirs, one for each user, in a process of its own."""

import hmac
import logging
import mailbox
import os
import socket
import sys
import warnings
from typing import Any

USER = "test"  # the name of the main user's maildir


def password(secret: str, user: str) -> str:
    """The password of a namespace's user, derived from the instance's. Each client with that one can create users."""
    return hmac.digest(secret.encode(), user.encode(), "sha256").hex()[:32]


def serve(listener: int, main_user: str, secret: str, login: bool, directory: str, settings: dict[str, Any]) -> None:
    import asyncio

    from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

    def box(user: str) -> "mailbox.Maildir":
        return mailbox.Maildir(os.path.join(directory, user))

    def is_namespace(user: str) -> bool:
        return user.startswith("sc_") and user.isidentifier() and os.path.isdir(os.path.join(directory, user))

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: LoginPassword) -> AuthResult:
        user = given.login.decode(errors="replace")
        expected = secret if user == main_user else password(secret, user)
        valid = hmac.compare_digest(given.password, expected.encode()) and (user == main_user or is_namespace(user))
        return AuthResult(success=valid, handled=False, auth_data=USER if user == main_user else user)

    class Handler:
        async def handle_DATA(self, _server: Any, session: Session, envelope: Envelope) -> str:
            headers = {"X-MailFrom": envelope.mail_from or "", "X-RcptTo": ", ".join(envelope.rcpt_tos)}
            lines = "".join(f"{name}: {value}\n" for name, value in headers.items())
            user = str(session.auth_data) if session.authenticated else USER
            text = lines.encode(errors="surrogateescape") + (envelope.original_content or b"")
            box(user).add(text.replace(b"\r\n", b"\n"))
            sys.stdout.write(f"{user}: {headers}\n")
            sys.stdout.flush()
            return "250 OK"

    def protocol() -> SMTP:
        ours: dict[str, Any] = {"authenticator": check, "auth_required": login, "auth_require_tls": False}
        return SMTP(Handler(), **{"enable_SMTPUTF8": True, "hostname": "localhost", **settings, **ours})

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(protocol, sock=socket.socket(fileno=listener))
        await server.serve_forever()

    warnings.simplefilter("ignore")  # one warning for each connection: a login without TLS
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # lower levels log passwords
    os.makedirs(directory, 0o700)
    box(USER)
    protocol()  # reports invalid settings at the start
    asyncio.run(run())
