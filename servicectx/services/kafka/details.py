"""Connection details of Kafka."""

from typing import Any, ClassVar

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address, filled, place


class KafkaDetails(ServiceDetails):
    """A Kafka broker. `user` and `password` are empty without authentication. `prefix`: of the names of topics and
    groups in a namespace.
    """

    foreign: ClassVar[tuple[str, ...]] = (
        "KAFKA_BOOTSTRAP_SERVERS",
        "KAFKA_SECURITY_PROTOCOL",
        "KAFKA_SASL_*",
        "KAFKA_SSL_*",
        "KAFKA_PREFIX",
        "KCAT_CONFIG",
        "KAFKACAT_CONFIG",
    )
    url_form: ClassVar[urls.Form] = urls.Form(
        schemes={"kafka": {}},
        port=9092,
        user="user",
        password="password",  # noqa: S106  # the name of a field
        query={
            "security_protocol": "security_protocol",
            "sasl_mechanism": "sasl_mechanism",
            "prefix": "prefix",
        },
    )

    user: str = ""
    password: str = ""
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = ""
    prefix: str = ""

    @classmethod
    def url_fields(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """A URL with a login means SASL PLAIN, unless its parameters name another mechanism."""
        sasl = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"} if fields.get("user") else {}
        return super().url_fields(sasl | fields)

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`, the setting that every client requires."""
        return place(self.host, self.port)

    @property
    def url(self) -> str:
        """`kafka://host:port`, with the login if there is one."""
        return address("kafka", self.host, self.port, "", self.user or None, self.password or None)

    @property
    def client_config(self) -> dict[str, Any]:
        """For confluent-kafka and other clients on librdkafka: `Producer(details.client_config)`."""
        login = {"sasl.mechanism": self.sasl_mechanism, "sasl.username": self.user, "sasl.password": self.password}
        names = {"bootstrap.servers": self.bootstrap_servers, "security.protocol": self.security_protocol}
        return names | (login if self.user else {})

    @property
    def consumer_config(self) -> dict[str, Any]:
        """`client_config` with the shortest session that brokers allow. Joining a group takes half a session."""
        return self.client_config | {"session.timeout.ms": 6000}

    @property
    def aiokafka_config(self) -> dict[str, Any]:
        """For aiokafka and kafka-python: `AIOKafkaProducer(**details.aiokafka_config)`."""
        login = {
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.user,
            "sasl_plain_password": self.password,
        }
        names = {"bootstrap_servers": self.bootstrap_servers, "security_protocol": self.security_protocol}
        return names | (login if self.user else {})

    def env(self) -> dict[str, str]:
        """`KAFKA_BOOTSTRAP_SERVERS`, `KAFKA_SECURITY_PROTOCOL`, `KAFKA_SASL_...` and `KAFKA_PREFIX`."""
        names = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "KAFKA_SECURITY_PROTOCOL": self.security_protocol,
            "KAFKA_SASL_MECHANISM": self.sasl_mechanism,
            "KAFKA_SASL_USERNAME": self.user,
            "KAFKA_SASL_PASSWORD": self.password,
            "KAFKA_PREFIX": self.prefix,
        }
        return filled(names)
