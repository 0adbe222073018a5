"""Buckets of one's own on an S3 server, emptied and removed; and whether it is usable."""

import base64
import hashlib
import os
import re
from typing import Any

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.wire import http
from servicectx.wire.aws import Endpoint


def is_usable(
    host: str, port: int, wait: float, access_key: str, secret_key: str, region: str
) -> dict[str, Any] | None:
    """A probe: can something be stored? It may answer before it knows where to put things."""
    here = Endpoint(host, port, access_key, secret_key, region)
    bucket = f"/servicectx-{os.urandom(4).hex()}"
    if here.ask("s3", "PUT", bucket, wait=wait).status != 200:
        return None
    stored = here.ask("s3", "PUT", f"{bucket}/ready", "yes", wait=wait)
    for place in (f"{bucket}/ready", bucket):
        here.ask("s3", "DELETE", place, wait=wait)
    version = re.search(r"[\d.]+$", stored.server)  # SeaweedFS tells it, MinIO does not
    return {"version": version[0] if version else None} if stored.status == 200 else None


def is_ours(host: str, port: int, wait: float, access_key: str, secret_key: str, region: str) -> dict[str, Any] | None:
    """A probe: does it let us in?"""
    listed = Endpoint(host, port, access_key, secret_key, region).ask("s3", "GET", "/", wait=wait)
    return {} if listed.status == 200 else None


def create(here: Endpoint) -> str:
    """A fresh bucket; its name. What dead makers left is removed on the way."""
    listed = here.ask("s3", "GET", "/")
    for name in re.findall(r"<Name>(sc-[^<]+)</Name>", listed.text):
        if owner_names.owner_is_dead(name.replace("-", "_")):
            remove(here, name)
    name = owner_names.new_name().replace("_", "-")  # which names of buckets must not hold
    made = here.ask("s3", "PUT", f"/{name}", _place(here.region))
    if made.status != 200:
        raise NotIsolable(service="s3", reason=f"no bucket can be made: {_problem(made)}")
    return name


def remove(here: Endpoint, name: str) -> None:
    """Empty it, with all old versions, and remove it. One that is gone already is passed over."""
    before: list[str] = []
    while here.ask("s3", "DELETE", f"/{name}").status == 409:  # there is something in it
        listed = here.ask("s3", "GET", f"/{name}", query={"versions": ""}).text
        blocks = re.findall(r"<(Version|DeleteMarker)>(.*?)</\1>", listed, re.DOTALL)
        inside = [_word(block, "Key") + _word(block, "VersionId") for _, block in blocks]
        if inside == before:
            raise OSError(f"the bucket {name} cannot be emptied")
        objects = "".join(f"<Object>{each}</Object>" for each in inside)
        body = f"<Delete><Quiet>true</Quiet>{objects}</Delete>"
        checked = base64.b64encode(hashlib.md5(body.encode(), usedforsecurity=False).digest()).decode()
        here.ask("s3", "POST", f"/{name}", body, {"delete": ""}, {"Content-MD5": checked})
        before = inside


def _place(region: str) -> str:
    if region == "us-east-1":
        return ""
    told = f"<LocationConstraint>{region}</LocationConstraint>"
    return (
        f'<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{told}</CreateBucketConfiguration>'
    )


def _word(text: str, name: str) -> str:
    """The first element of that name, as it is written."""
    found = re.search(f"<{name}>.*?</{name}>", text, re.DOTALL)
    return found[0] if found else ""


def _problem(answer: http.Answer) -> str:
    return re.sub("<[^>]*>", "", _word(answer.text, "Message")) or f"it answers {answer.status}"
