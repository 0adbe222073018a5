"""The cost of an unused installation: the import, and the plugin in a pytest run without services."""

import configparser

from benchmarks.case import Bar, Case, Contender, Stage
from benchmarks.cases.stages import PYTEST
from benchmarks.environment import CHECKOUT

PLUGIN = "servicectx_pytest"


def library() -> Case:
    imported = Stage("import alone", "requested", "imported")
    process = Stage("the whole process", "began", "ended")
    bars = {imported.name: Bar(1.3), process.name: Bar(1.3)}
    return Case(
        name="import",
        title="from servicectx import managed",
        stages=(imported, process),
        contenders=(
            Contender("servicectx", ("script:import_servicectx.py",)),
            Contender("pydantic and one model", ("script:import_pydantic.py",), bars),
        ),
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
            Contender("without", empty, {process.name: Bar(5.0, "ms more")}),
        ),
        missing=None if _is_registered() else f"{PLUGIN} is not registered as a plugin",
    )


def _is_registered() -> bool:
    settings = configparser.ConfigParser()
    settings.read(CHECKOUT / "setup.cfg")
    return PLUGIN in settings.get("options.entry_points", "pytest11", fallback="")
