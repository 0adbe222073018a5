"""How to connect to moto."""

from servicectx.details.aws import AwsDetails


class MotoDetails(AwsDetails):
    """A moto server: `access_key` decides in which `account` a client works; the secret key is not looked at."""

    account: str = "123456789012"
