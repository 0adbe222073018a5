"""The label of the copies that a start may store."""

from servicectx.client.attempt import Attempt
from servicectx.datadirs.cache import SNAPSHOTS, TEMPLATES, Cache
from servicectx.datadirs.label import Label
from servicectx.services import version_choice
from servicectx.services.plan import Plan


def label_of(attempt: Attempt, plan: Plan, snapshot: str | None, cache: Cache) -> Label:
    """Service, version, set-up and project. Without a copy to store, the program is not run for its version."""
    service, program = attempt.request.service, attempt.program
    label = Label(service.name, setup="" if attempt.setup is None else attempt.setup.label)
    places = [cache.place(SNAPSHOTS, snapshot)] if snapshot else []
    places += [cache.place(TEMPLATES, plan.template.key)] if plan.template else []
    if cache.limit == 0 or all(place.exists() for place in places):
        return label
    from servicectx.request import origin
    from servicectx.request.builds import is_native

    version = (version_choice.version_of(service, program) or "") if is_native(program) else ""
    return label._replace(version=version, project=origin.directory())
