"""Tables of instances as plain columns."""

from servicectx.cli import console
from servicectx.cli.instance_status import InstanceStatus
from servicectx.cli.instances import holder

HEAD = ("NAME", "SERVICE", "ADDRESS", "STATE", "AGE", "MEMORY", "DATA")


def plain_status(statuses: list[InstanceStatus]) -> str:
    if not statuses:
        return "nothing runs"
    rows = [
        [
            *(*cells(instance), instance.scope, "; ".join(map(holder, instance.holders)) or "-"),
            *(instance.waits_for or "-", instance.setup_text or "-", instance.persistent or "-"),
        ]
        for instance in statuses
    ]
    return console.plain([*HEAD, "SCOPE", "HOLDERS", "WAITS FOR", "SET-UP", "PERSISTENT DATA"], rows)


def cells(instance: InstanceStatus) -> list[str]:
    return [
        instance.name,
        f"{instance.service} {instance.version}" if instance.version else instance.service,
        instance.address or "-",
        instance.state,
        console.age(instance.age),
        console.size(instance.memory),
        console.size(instance.data),
    ]
