"""How to connect to S3."""

from servicectx.details.aws import AwsDetails


class S3Details(AwsDetails):
    """An S3 server: a pair of keys, and in a namespace the `bucket` that is one's own."""

    bucket: str = ""
