"""Requests with AWS signatures (version 4), with the standard library alone."""

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
    """An access key in the format of AWS, derived from `secret` without revealing it."""
    return f"AKIA{hashlib.sha256(secret.encode()).hexdigest()[:16].upper()}"


class Endpoint(NamedTuple):
    """The address and the credentials for requests."""

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
        """Send one request to the service "s3", "iam" ... Raises OSError without an answer."""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        body_hash = hashlib.sha256(body.encode()).hexdigest()
        signed = {"host": f"{self.host}:{self.port}", "x-amz-content-sha256": body_hash, "x-amz-date": now}
        names = ";".join(signed)
        query_text = urlencode(sorted((query or {}).items()), quote_via=quote, safe="")
        header_lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
        request = "\n".join((method, quote(path), query_text, header_lines, names, body_hash))
        scope = f"{now[:8]}/{self.region}/{service}/aws4_request"
        string_to_sign = "\n".join(("AWS4-HMAC-SHA256", now, scope, hashlib.sha256(request.encode()).hexdigest()))
        key = f"AWS4{self.secret_key}".encode()
        for scope_part in scope.split("/"):
            key = hmac.digest(key, scope_part.encode(), "sha256")
        signature = hmac.digest(key, string_to_sign.encode(), "sha256").hex()
        login = f"Credential={self.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        all_headers = {**signed, "Authorization": f"AWS4-HMAC-SHA256 {login}", **(headers or {})}
        target = quote(path) + (f"?{query_text}" if query_text else "")
        return http.ask(self.host, self.port, method, target, body, all_headers, wait, self.tls)
