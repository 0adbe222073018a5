"""How to connect to an MQTT broker."""

from servicectx.details.base import address, filled
from servicectx.details.login import LoginDetails


class MqttDetails(LoginDetails):
    """An MQTT broker: `user` and `password`. In a namespace `prefix` goes before every topic."""

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
