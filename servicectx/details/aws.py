"""How to connect to what speaks as AWS does: an endpoint, a pair of keys, a region."""

from typing import ClassVar

from servicectx.details.base import ServiceDetails, address


class AwsDetails(ServiceDetails):
    """What moto's and S3's details have in common. The keys are those of boto3's environment variables."""

    secrets: ClassVar[frozenset[str]] = frozenset({"secret_key"})

    scheme: str = "http"
    access_key: str = "testing"
    secret_key: str = "testing"  # noqa: S105
    region: str = "us-east-1"
    version: str | None = None

    @property
    def url(self) -> str:
        """`http://host:port`."""
        return address(self.scheme, self.host, self.port)

    @property
    def endpoint_url(self) -> str:
        """The same, by boto3's word for it."""
        return self.url

    @property
    def boto3(self) -> dict[str, str]:
        """The arguments of `boto3.client` and `boto3.resource`: `boto3.client("s3", **details.boto3)`."""
        return {
            "endpoint_url": self.url,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "region_name": self.region,
        }

    def env(self) -> dict[str, str]:
        """What boto3, the AWS command line and other SDKs read."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
        }
