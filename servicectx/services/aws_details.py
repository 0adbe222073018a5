"""Connection details of servers with an AWS API: an endpoint, a pair of keys, a region."""

from typing import ClassVar

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address
from servicectx.services.proxies import without_proxy


class AwsDetails(ServiceDetails):
    """The shared part of moto's and S3's details. The keys go into boto3's environment variables."""

    secrets: ClassVar[frozenset[str]] = frozenset({"secret_key"})

    foreign: ClassVar[tuple[str, ...]] = (
        "AWS_ENDPOINT_URL_*",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_*",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_ACCOUNT_ID",
        "AWS_CA_BUNDLE",
    )
    url_form: ClassVar[urls.Form] = urls.Form(
        schemes={"http": {"scheme": "http"}, "https": {"scheme": "https"}},
        user="access_key",
        password="secret_key",  # noqa: S106  # the name of a field
        query={"access_key": "access_key", "secret_key": "secret_key", "region": "region"},
    )

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
        """The URL under boto3's name."""
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
        """The variables that boto3, the AWS command line and other SDKs read."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",  # otherwise clients use the real AWS
            **without_proxy(self.host),
        }
