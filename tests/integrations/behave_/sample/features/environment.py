import os

from journal import migrate, note
from servicectx_behave import use_service, use_service_by_tag

SERVICES = {"orders": {"service": "postgres", "setup": migrate}}


def before_all(context):
    use_service(context, "postgres", setup=migrate)
    note("before_all", context.postgres)
    if os.environ.get("FAIL") == "before_all":
        raise LookupError("this hook fails")


def before_tag(context, tag):
    use_service_by_tag(tag, context, SERVICES)


def after_scenario(context, scenario):
    note("after_scenario", context.postgres, scenario=scenario.name, status=scenario.status.name)


def after_feature(context, feature):
    left = [name for name in ("orders", "cache") if name in context]
    note("after_feature", feature=feature.name, left=left, redis="redis" in context)
