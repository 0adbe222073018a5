"""Connection details of an MQTT broker."""

from typing import ClassVar

from servicectx.services import urls
from servicectx.services.details import address, filled
from servicectx.services.login_details import LoginDetails


class MqttDetails(LoginDetails):
    """An MQTT broker: `user` and `password`. `prefix`: of every topic in a namespace."""

    foreign: ClassVar[tuple[str, ...]] = (
        "MQTT_USERNAME",
        "MQTT_PASSWORD",
        "MQTT_PREFIX",
    )
    url_form: ClassVar[urls.Form] = urls.Form(
        schemes={"mqtt": {}, "tcp": {}},
        port=1883,
        user="user",
        password="password",  # noqa: S106  # the name of a field
        query={"prefix": "prefix"},
    )

    @property
    def url(self) -> str:
        """`mqtt://user:password@host:port`."""
        return address("mqtt", self.host, self.port, "", self.user or None, self.password or None)

    def env(self) -> dict[str, str]:
        """`MQTT_URL`, `MQTT_HOST`, `MQTT_PORT`, `MQTT_USERNAME`, `MQTT_PASSWORD` and `MQTT_PREFIX`."""
        names = {
            "MQTT_URL": self.url,
            "MQTT_HOST": self.host,
            "MQTT_PORT": str(self.port),
            "MQTT_USERNAME": self.user,
            "MQTT_PASSWORD": self.password,
            "MQTT_PREFIX": self.prefix,
        }
        return filled(names)
