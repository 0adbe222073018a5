"""Keys and buckets that a caller chooses, for servers with an AWS API."""

import re
from collections.abc import Iterable
from typing import Any

from servicectx.services import login_checks
from servicectx.services.base import Service
from servicectx.services.login import RANDOM
from servicectx.wire import aws

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
BUCKET = re.compile(r"(?!\d+(\.\d+){3}$|sc-)[a-z0-9](?!.*\.\.)[a-z0-9.-]{1,61}[a-z0-9]")
BUCKET_RULE = "a name has 3 to 63 of the letters a-z, digits, dots and hyphens, and does not begin with sc-"
NO_ANONYMOUS = "S3's clients sign every request, so there is always a key; moto accepts every key"


def keys(service: Service[Any], options: Any, secret: str) -> dict[str, str]:
    """`access_key` and `secret_key`: the caller's, else those of this instance. Raises InvalidOption."""
    if not options.secret_key and options.secret_key != "":
        raise login_checks.refused(service, "secret_key", NO_ANONYMOUS)
    login_checks.check_text(service, "access_key", options.access_key, without="/=, ")  # delimiters of the signature
    login_checks.check_text(service, "secret_key", options.secret_key)
    return {
        "access_key": aws.access_key(secret) if options.access_key == RANDOM else options.access_key,
        "secret_key": secret if options.secret_key == RANDOM else options.secret_key,
    }


def check_buckets(service: Service[Any], names: Iterable[str]) -> None:
    """Raise InvalidOption for a name that S3 refuses, or that would look like a bucket of a namespace."""
    if isinstance(names, str):
        raise login_checks.refused(service, "buckets", "it is one text; give a list of names")
    for name in names:
        if not BUCKET.fullmatch(name):
            raise login_checks.refused(service, "buckets", f"{name!r} is not the name of a bucket: {BUCKET_RULE}")
