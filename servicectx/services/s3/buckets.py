"""Buckets of namespaces on an S3 server, and the probes of the keeper."""

import base64
import hashlib
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.isolation.interface import Isolation
from servicectx.wire import http
from servicectx.wire.aws import Endpoint

if TYPE_CHECKING:
    from servicectx.services.s3.details import S3Details  # the type parameter below


def is_usable(
    host: str, port: int, wait: float, access_key: str, secret_key: str, region: str, buckets: Sequence[str] = ()
) -> dict[str, Any] | None:
    """A probe: store an object, then create `buckets`. A server may answer before it has a volume for objects."""
    endpoint = Endpoint(host, port, access_key, secret_key, region)
    bucket = f"/servicectx-{os.urandom(4).hex()}"
    if endpoint.ask("s3", "PUT", bucket, wait=wait).status != 200:
        return None
    stored = endpoint.ask("s3", "PUT", f"{bucket}/ready", "yes", wait=wait)
    for path in (f"{bucket}/ready", bucket):
        endpoint.ask("s3", "DELETE", path, wait=wait)
    if not all(is_there(endpoint, name, wait) for name in buckets):
        return None
    version = re.search(r"[\d.]+$", stored.server)  # sent by SeaweedFS, not by MinIO
    return {"version": version[0] if version else None} if stored.status == 200 else None


def is_ours(host: str, port: int, wait: float, access_key: str, secret_key: str, region: str) -> dict[str, Any] | None:
    """A probe: list buckets with our keys."""
    listed = Endpoint(host, port, access_key, secret_key, region).ask("s3", "GET", "/", wait=wait)
    return {} if listed.status == 200 else None


class S3Buckets(Isolation["S3Details"]):
    """Buckets as namespaces."""

    def create(self) -> "S3Details":
        return self.details.model_copy(update={"bucket": create(Endpoint.of(self.details))})

    def close(self, namespace: "S3Details") -> None:
        remove(Endpoint.of(namespace), namespace.bucket)


def is_there(endpoint: Endpoint, name: str, wait: float = 10.0) -> bool:
    """Create the bucket if it is missing. False: neither is possible now."""
    if endpoint.ask("s3", "HEAD", f"/{name}", wait=wait).status == 200:
        return True
    return endpoint.ask("s3", "PUT", f"/{name}", _configuration(endpoint.region), wait=wait).status == 200


def create(endpoint: Endpoint) -> str:
    """Create a fresh bucket and return its name. Buckets of dead owners are removed first."""
    listed = endpoint.ask("s3", "GET", "/")
    for name in re.findall(r"<Name>(sc-[^<]+)</Name>", listed.text):
        if owner_names.owner_is_dead(name.replace("-", "_")):
            remove(endpoint, name)
    name = owner_names.new_name().replace("_", "-")  # bucket names must not contain "_"
    answer = endpoint.ask("s3", "PUT", f"/{name}", _configuration(endpoint.region))
    if answer.status != 200:
        raise NotIsolable(service="s3", reason=f"a bucket cannot be created: {_problem(answer)}")
    return name


def remove(endpoint: Endpoint, name: str) -> None:
    """Empty a bucket, including old versions, and remove it. A missing bucket is not an error."""
    before: list[str] = []
    while endpoint.ask("s3", "DELETE", f"/{name}").status == 409:  # the bucket is not empty
        listed = endpoint.ask("s3", "GET", f"/{name}", query={"versions": ""}).text
        blocks = re.findall(r"<(Version|DeleteMarker)>(.*?)</\1>", listed, re.DOTALL)
        inside = [_element(block, "Key") + _element(block, "VersionId") for _, block in blocks]
        if inside == before:
            raise OSError(f"the bucket {name} cannot be emptied")
        objects = "".join(f"<Object>{item}</Object>" for item in inside)
        body = f"<Delete><Quiet>true</Quiet>{objects}</Delete>"
        digest = base64.b64encode(hashlib.md5(body.encode(), usedforsecurity=False).digest()).decode()
        endpoint.ask("s3", "POST", f"/{name}", body, {"delete": ""}, {"Content-MD5": digest})
        before = inside


def _configuration(region: str) -> str:
    if region == "us-east-1":
        return ""
    location = f"<LocationConstraint>{region}</LocationConstraint>"
    return f'<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{location}</CreateBucketConfiguration>'


def _element(text: str, name: str) -> str:
    """The first XML element with this name, including its tags."""
    found = re.search(f"<{name}>.*?</{name}>", text, re.DOTALL)
    return found[0] if found else ""


def _problem(answer: http.Answer) -> str:
    return re.sub("<[^>]*>", "", _element(answer.text, "Message")) or f"status {answer.status}"
