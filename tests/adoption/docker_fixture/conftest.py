"""The fixture that started a container is replaced: the tests and their other fixtures are unchanged, as in aiokafka's.

Before:

    @pytest.fixture(scope="session")
    def kafka_servers(docker_client):
        container = docker_client.containers.run("apache/kafka", detach=True, ports={"9092/tcp": None})
        ...
"""

import pytest

from servicectx import KafkaDetails


@pytest.fixture(scope="session")
def kafka_servers(managed_kafka: KafkaDetails) -> list[str]:
    return [f"{managed_kafka.host}:{managed_kafka.port}"]
