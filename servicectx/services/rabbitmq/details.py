"""Connection details of RabbitMQ."""

from typing import ClassVar

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address


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

    def env(self) -> dict[str, str]:
        """`AMQP_URL`, `RABBITMQ_URL`, and `CELERY_BROKER_URL` for Celery."""
        return dict.fromkeys(("AMQP_URL", "RABBITMQ_URL", "CELERY_BROKER_URL"), self.url)
