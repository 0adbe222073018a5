"""Connection details of RabbitMQ."""

from typing import ClassVar

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address, filled, unknown_driver


class RabbitmqDetails(ServiceDetails):
    """A RabbitMQ server: `user`, `password`, `vhost`, and the port of its management API."""

    url_form: ClassVar[urls.Form] = urls.Form(
        schemes={"amqp": {}, "pyamqp": {}, "rabbitmq": {}},
        port=5672,
        user="user",
        password="password",  # noqa: S106  # the name of a field
        path="vhost",
    )

    user: str = "guest"
    password: str = "guest"  # noqa: S105  # the default login of RabbitMQ, from loopback
    vhost: str = "/"
    management_port: int | None = None
    version: str | None = None

    @property
    def url(self) -> str:
        """`amqp://user:password@host:port/vhost`; without a path for the vhost `/`, a form that all clients accept."""
        path = "" if self.vhost == "/" else self.vhost
        return address("amqp", self.host, self.port, path, self.user, self.password)

    @property
    def management_url(self) -> str | None:
        """`http://host:port` of the management API and its pages, None without one."""
        return None if self.management_port is None else address("http", self.host, self.management_port)

    def url_for(self, driver: str) -> str:
        """A URL for one driver.

        Args:
            driver: "pika", "aio-pika" and "amqp" give `url`; "celery" and "kombu" give a URL that does not depend on
                the package librabbitmq, which Celery prefers for `amqp://` where it is installed.

        Raises:
            ValueError: no URL is known for this driver.
        """
        if driver in ("celery", "kombu"):
            return self.url.replace("amqp://", "pyamqp://", 1)
        if driver in ("pika", "aio-pika", "amqp"):
            return self.url
        raise unknown_driver(driver, ("pika", "aio-pika", "amqp", "celery", "kombu"))

    def env(self) -> dict[str, str]:
        """`AMQP_URL`, `RABBITMQ_URL` and its parts (`RABBITMQ_HOST` ...), and `CELERY_BROKER_URL` for Celery."""
        urls = dict.fromkeys(("AMQP_URL", "RABBITMQ_URL", "CELERY_BROKER_URL"), self.url)
        parts = {
            "RABBITMQ_HOST": self.host,
            "RABBITMQ_PORT": str(self.port),
            "RABBITMQ_USER": self.user,
            "RABBITMQ_PASSWORD": self.password,
            "RABBITMQ_VHOST": self.vhost,
        }
        return urls | filled(parts)
