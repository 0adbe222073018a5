"""Kafka's admin calls with confluent-kafka, each in a process of its own: `python -m tests.services.kafka_admin CALL`.

librdkafka ends its process on some replies that it cannot read. The details are on standard input; the result is one
line on standard output, in the words of the table in docs/services/kafka.md.
"""

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    ElectionType,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)

from servicectx import KafkaDetails

kafka: Any = importlib.import_module("confluent_kafka.admin")  # it does not declare the names that it exports
ROOT = Path(__file__).parents[2]
WAIT = 30  # seconds for one call
ENTRY = kafka.ConfigEntry("retention.ms", "1000", incremental_operation=kafka.AlterConfigOpType.SET)
ACL = (
    "topic",
    kafka.ResourcePatternType.LITERAL,
    "User:ada",
    "*",
    kafka.AclOperation.READ,
    kafka.AclPermissionType.ALLOW,
)
ANY = (
    *(kafka.ResourceType.ANY, None, kafka.ResourcePatternType.ANY, None, None),
    *(kafka.AclOperation.ANY, kafka.AclPermissionType.ANY),
)
GROUP = ConsumerGroupTopicPartitions("group", [TopicPartition("topic", 0, 1)])
SCRAM = kafka.ScramCredentialInfo(kafka.ScramMechanism.SCRAM_SHA_256, 4096)

CALLS: dict[str, Callable[[Any], Any]] = {
    "create_topics": lambda admin: admin.create_topics([kafka.NewTopic("another", 1, 1)]),
    "delete_topics": lambda admin: admin.delete_topics(["topic"]),
    "list_topics": lambda admin: admin.list_topics(timeout=WAIT),
    "describe_topics": lambda admin: admin.describe_topics(TopicCollection(["topic"])),
    "create_partitions": lambda admin: admin.create_partitions([kafka.NewPartitions("topic", 3)]),
    "describe_cluster": lambda admin: admin.describe_cluster(),
    "describe_configs": lambda admin: admin.describe_configs([kafka.ConfigResource("topic", "topic")]),
    "alter_configs": lambda admin: admin.alter_configs([kafka.ConfigResource("topic", "topic", {"retention.ms": "1"})]),
    "incremental_alter_configs": lambda admin: admin.incremental_alter_configs(
        [kafka.ConfigResource("topic", "topic", incremental_configs=[ENTRY])]
    ),
    "delete_records": lambda admin: admin.delete_records([TopicPartition("topic", 0, 2)]),
    "list_offsets": lambda admin: admin.list_offsets({TopicPartition("topic", 0): kafka.OffsetSpec.latest()}),
    "list_consumer_groups": lambda admin: admin.list_consumer_groups(request_timeout=WAIT),
    "describe_consumer_groups": lambda admin: admin.describe_consumer_groups(["group"]),
    "alter_consumer_group_offsets": lambda admin: admin.alter_consumer_group_offsets([GROUP]),
    "list_consumer_group_offsets": lambda admin: admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions("group")]
    ),
    "delete_consumer_groups": lambda admin: admin.delete_consumer_groups(["group"]),
    "create_acls": lambda admin: admin.create_acls([kafka.AclBinding(kafka.ResourceType.TOPIC, *ACL)]),
    "describe_acls": lambda admin: admin.describe_acls(kafka.AclBindingFilter(*ANY)),
    "delete_acls": lambda admin: admin.delete_acls([kafka.AclBindingFilter(*ANY)]),
    "describe_user_scram_credentials": lambda admin: admin.describe_user_scram_credentials(["ada"]),
    "alter_user_scram_credentials": lambda admin: admin.alter_user_scram_credentials(
        [kafka.UserScramCredentialUpsertion("ada", SCRAM, b"s3cret")]
    ),
    "elect_leaders": lambda admin: admin.elect_leaders(ElectionType.PREFERRED, [TopicPartition("topic", 0)]),
}


def result_of(details: KafkaDetails, call: str) -> str:
    """The result of one call on a broker with a topic `topic`, which this function creates with two messages."""
    command = [sys.executable, "-m", __name__, call]
    record = details.model_dump_json() + "\n"
    done = subprocess.run(command, cwd=ROOT, input=record, capture_output=True, text=True, check=False, timeout=240)
    if done.returncode < 0:
        return "the client ends its process"
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _run(call: str) -> str:
    details = KafkaDetails.parse(sys.stdin.readline())
    admin = kafka.AdminClient(details.client_config)
    if "topic" not in admin.list_topics(timeout=WAIT).topics:
        admin.create_topics([kafka.NewTopic("topic", 2, 1)])["topic"].result(WAIT)
    producer = Producer(details.client_config)
    for _ in range(2):
        producer.produce("topic", b"text", partition=0)
    producer.flush(WAIT)
    try:
        reply = CALLS[call](admin)
        futures = reply.values() if isinstance(reply, dict) else [reply] if hasattr(reply, "result") else []
        results = [future.result(WAIT) for future in futures]
    except KafkaException as error:
        name = error.args[0].name()
        return {"_UNSUPPORTED_FEATURE": "not supported", "_TRANSPORT": "tansu closes the connection"}.get(name, name)
    except RuntimeError:  # "Results length 0 is different from future-map length 1"
        return "an empty reply"
    return "an empty reply" if results == [{}] else "works"


if __name__ == "__main__":
    print(_run(*sys.argv[1:]))
