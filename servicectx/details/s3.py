"""How to connect to S3."""

from servicectx.details.aws import AwsDetails
from servicectx.details.base import filled


class S3Details(AwsDetails):
    """An S3 server: a pair of keys, and in a namespace the `bucket` that is one's own."""

    bucket: str = ""

    def env(self) -> dict[str, str]:
        """What boto3, the AWS command line and other SDKs read, and `S3_BUCKET` in a namespace."""
        return super().env() | filled({"S3_BUCKET": self.bucket})
