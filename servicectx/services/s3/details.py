"""Connection details of S3."""

from typing import ClassVar

from servicectx.services import urls
from servicectx.services.aws_details import AwsDetails
from servicectx.services.details import filled


class S3Details(AwsDetails):
    """An S3 server: a pair of keys, and in a namespace its `bucket`."""

    url_form: ClassVar[urls.Form] = AwsDetails.url_form._replace(
        path="bucket", query={**AwsDetails.url_form.query, "bucket": "bucket"}
    )

    bucket: str = ""

    def env(self) -> dict[str, str]:
        """The variables of boto3, the AWS command line and other SDKs, and `S3_BUCKET` in a namespace."""
        return super().env() | filled({"S3_BUCKET": self.bucket})
