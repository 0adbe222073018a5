"""Hints for authors of services: mistakes in a plan that a failed start makes likely."""

from servicectx.services import plan

BACKGROUND = (
    "; exit status 0 may mean that it went to the background: the keeper watches the process that it starts,"
    " so let the server run in the foreground (options such as --foreground, --no-daemon, daemon off)"
)
NO_PORT = (
    "; the command, the environment and the files of its plan do not contain {port}, so the server does not know the"
    " port that the probe connects to"
)


def end_reason(described: str, status: int | None) -> str:
    """The reason of a server that ended before it was usable, with its described status."""
    return f"the server ended before it was usable ({described}){BACKGROUND if status == 0 else ''}"


def wait_reason(doing: str, service_plan: plan.Plan) -> str:
    """`doing`, with a hint if the plan's server cannot know its port."""
    if service_plan.ports.inherits_socket or service_plan.ready["kind"] not in ("tcp", "http", "exchange"):
        return doing
    texts = plan.encode(service_plan._replace(ready={"kind": "running"}, ping={"kind": "running"}))
    return doing if plan.mentions(texts, "port") else doing + NO_PORT
