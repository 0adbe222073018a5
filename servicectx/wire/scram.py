"""The client's side of SCRAM-SHA-256: client and server prove to each other that they have the password.

RFC 5802 and 7677. The password itself is never sent.
"""

import base64
import hashlib
import hmac
import os


class Proof:
    """One login: send `hello`, send the `answer` to the challenge, and check the final message with `is_known`.

    `user` is empty where the protocol has already sent the user name.
    """

    def __init__(self, user: str, password: str) -> None:
        self._password = prepared(password)
        self._nonce = base64.b64encode(os.urandom(18)).decode()
        self._first = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={self._nonce}"
        self._signature = b""

    @property
    def hello(self) -> bytes:
        return f"n,,{self._first}".encode()

    def answer(self, challenge: bytes) -> bytes:
        """The reply to the challenge. Raises ValueError where the challenge does not belong to `hello`."""
        parts = _parts(challenge)
        if not parts["r"].startswith(self._nonce):
            raise ValueError("the server's nonce does not begin with the client's")
        salt, rounds = base64.b64decode(parts["s"]), int(parts["i"])
        salted = hashlib.pbkdf2_hmac("sha256", self._password.encode(), salt, rounds)
        client_key = _hmac(salted, b"Client Key")
        final = f"c=biws,r={parts['r']}"
        signed = f"{self._first},{challenge.decode()},{final}".encode()
        client_signature = _hmac(hashlib.sha256(client_key).digest(), signed)
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, client_signature, strict=True))).decode()
        self._signature = _hmac(_hmac(salted, b"Server Key"), signed)
        return f"{final},p={proof}".encode()

    def is_known(self, last: bytes) -> bool:
        """Whether the server's final message proves that the server has the password."""
        return hmac.compare_digest(base64.b64decode(_parts(last).get("v", "")), self._signature)


def verifier(password: str, rounds: int) -> str:
    """The form in which Postgres stores a password. It keeps the password itself out of statements and logs."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password).encode(), salt, rounds)
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    parts = [base64.b64encode(part).decode() for part in (salt, stored, _hmac(salted, b"Server Key"))]
    return f"SCRAM-SHA-256${rounds}:{parts[0]}${parts[1]}:{parts[2]}"


def prepared(password: str) -> str:
    """The password in the form that clients hash: SASLprep, RFC 4013. A password that SASLprep forbids is unchanged."""
    if password.isascii():
        return password
    import stringprep
    import unicodedata

    mapped = [" " if stringprep.in_table_c12(letter) else letter for letter in password]
    text = unicodedata.normalize("NFKC", "".join(letter for letter in mapped if not stringprep.in_table_b1(letter)))
    forbidden = (
        *(stringprep.in_table_a1, stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3),
        *(stringprep.in_table_c4, stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7),
        *(stringprep.in_table_c8, stringprep.in_table_c9),
    )
    return password if any(is_in(letter) for letter in text for is_in in forbidden) else text


def _parts(message: bytes) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in message.decode().split(","))


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")
