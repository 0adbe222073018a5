"""Connection details of moto."""

from typing import ClassVar

from servicectx.services import urls
from servicectx.services.aws_details import AwsDetails


class MotoDetails(AwsDetails):
    """A moto server. `access_key` selects the `account` of a client; moto ignores the secret key."""

    url_form: ClassVar[urls.Form] = AwsDetails.url_form._replace(
        query={**AwsDetails.url_form.query, "account": "account"}
    )

    account: str = "123456789012"
