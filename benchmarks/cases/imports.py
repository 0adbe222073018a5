"""The cost of an unused installation: the import, and the plugin in a pytest run without services."""

import configparser

from benchmarks.case import Bar, Case, Contender, Stage
from benchmarks.cases.stages import PYTEST
from benchmarks.places import CHECKOUT

PLUGIN = "servicectx_pytest"


def library() -> Case:
    imported = Stage("import alone", "requested", "imported")
    process = Stage("the whole process", "began", "ended")
    pydantic = "pydantic and one model"
    return Case(
        name="import",
        title="from servicectx import managed",
        stages=(imported, process),
        contenders=(
            Contender("servicectx", ("script:import_servicectx.py",)),
            Contender(pydantic, ("script:import_pydantic.py",)),
        ),
        bars=tuple(Bar(stage.name, "servicectx", pydantic, 1.3) for stage in (imported, process)),
    )


def plugin() -> Case:
    process = Stage("the whole process", "began", "ended")
    empty = (*PYTEST, "{scripts}/test_nothing.py")
    return Case(
        name="idle-plugin",
        title="a pytest run without services",
        stages=(process,),
        contenders=(
            Contender("with the plugin", (*empty, "-p", PLUGIN)),
            Contender("without", empty),
        ),
        bars=(Bar(process.name, "with the plugin", "without", 1.02, "times or 5 ms"),),
        missing=None if _is_registered() else f"{PLUGIN} is not registered as a plugin",
    )


def _is_registered() -> bool:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(CHECKOUT / "setup.cfg")
    return PLUGIN in settings.get("options.entry_points", "pytest11", fallback="")
