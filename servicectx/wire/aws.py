"""Requests as AWS wants them, signed (version 4), with the standard library alone."""

import hashlib
import hmac
from typing import NamedTuple, Protocol, Self
from urllib.parse import quote, urlencode

from servicectx.system.originals import time
from servicectx.wire import http


class Access(Protocol):
    """The fields of details that a request needs."""

    scheme: str
    host: str
    port: int
    access_key: str
    secret_key: str
    region: str


def access_key(secret: str) -> str:
    """One that looks as AWS's do, and does not tell the secret that it goes with."""
    return f"AKIA{hashlib.sha256(secret.encode()).hexdigest()[:16].upper()}"


class Endpoint(NamedTuple):
    """Where to ask, and as whom."""

    host: str
    port: int
    access_key: str
    secret_key: str
    region: str = "us-east-1"
    tls: bool = False

    @classmethod
    def of(cls, details: Access) -> Self:
        tls = details.scheme == "https"
        return cls(details.host, details.port, details.access_key, details.secret_key, details.region, tls)

    def ask(
        self,
        service: str,
        method: str,
        path: str,
        body: str = "",
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        wait: float = 10.0,
    ) -> http.Answer:
        """One request to "s3", "iam" ... Raises OSError when nobody answers."""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        hashed = hashlib.sha256(body.encode()).hexdigest()
        signed = {"host": f"{self.host}:{self.port}", "x-amz-content-sha256": hashed, "x-amz-date": now}
        names = ";".join(signed)
        words = urlencode(sorted((query or {}).items()), quote_via=quote, safe="")
        lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
        request = "\n".join((method, quote(path), words, lines, names, hashed))
        scope = f"{now[:8]}/{self.region}/{service}/aws4_request"
        text = "\n".join(("AWS4-HMAC-SHA256", now, scope, hashlib.sha256(request.encode()).hexdigest()))
        key = f"AWS4{self.secret_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        login = f"Credential={self.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        told = {**signed, "Authorization": f"AWS4-HMAC-SHA256 {login}", **(headers or {})}
        place = quote(path) + (f"?{words}" if words else "")
        return http.ask(self.host, self.port, method, place, body, told, wait, self.tls)
