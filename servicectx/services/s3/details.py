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
        """The variables of boto3, the AWS command line and other SDKs; the same values as `S3_...`, for frameworks; and
        `S3_BUCKET` in a namespace.
        """
        names = {
            "S3_ENDPOINT_URL": self.url,
            "S3_ENDPOINT": self.url,
            "S3_ACCESS_KEY_ID": self.access_key,
            "S3_SECRET_ACCESS_KEY": self.secret_key,
            "S3_REGION": self.region,
            "S3_BUCKET": self.bucket,
        }
        return super().env() | filled(names)
