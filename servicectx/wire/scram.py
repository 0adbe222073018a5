"""SCRAM-SHA-256, the client's side: it proves that it knows a password, and sees that the server knows it too.

RFC 5802 and 7677. The password never travels.
"""

import base64
import hashlib
import hmac
import os


class Proof:
    """One login: send `hello`, send what `answer` makes of the challenge, and look at the last word with `is_known`.

    `user` is empty where the protocol has said it before.
    """

    def __init__(self, user: str, password: str) -> None:
        self._password = password
        self._nonce = base64.b64encode(os.urandom(18)).decode()
        self._first = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={self._nonce}"
        self._signature = b""

    @property
    def hello(self) -> bytes:
        return f"n,,{self._first}".encode()

    def answer(self, challenge: bytes) -> bytes:
        """Raises ValueError where the challenge is not an answer to `hello`."""
        parts = _parts(challenge)
        if not parts["r"].startswith(self._nonce):
            raise ValueError("the server's nonce is not for us")
        salt, rounds = base64.b64decode(parts["s"]), int(parts["i"])
        salted = hashlib.pbkdf2_hmac("sha256", self._password.encode(), salt, rounds)
        client = _hmac(salted, b"Client Key")
        last = f"c=biws,r={parts['r']}"
        signed = f"{self._first},{challenge.decode()},{last}".encode()
        seal = _hmac(hashlib.sha256(client).digest(), signed)
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client, seal, strict=True))).decode()
        self._signature = _hmac(_hmac(salted, b"Server Key"), signed)
        return f"{last},p={proof}".encode()

    def is_known(self, last: bytes) -> bool:
        """Whether the server's last word proves that it knows the password."""
        return hmac.compare_digest(base64.b64decode(_parts(last).get("v", "")), self._signature)


def verifier(password: str, rounds: int) -> str:
    """What Postgres keeps of a password, so that the password itself goes through no statement and no log."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    parts = [base64.b64encode(part).decode() for part in (salt, stored, _hmac(salted, b"Server Key"))]
    return f"SCRAM-SHA-256${rounds}:{parts[0]}${parts[1]}:{parts[2]}"


def _parts(said: bytes) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in said.decode().split(","))


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")
