"""Users with a standard library patched by gevent or eventlet, which run threads as coroutines."""

from importlib.util import find_spec

import pytest

from tests.caller.root import REQUIRED
from tests.caller.script import output, run

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import warnings; warnings.simplefilter('ignore'); import eventlet; eventlet.monkey_patch()",
}
USE = """
with servicectx.managed("postgres") as pg, servicectx.managed("redis"):
    with servicectx.isolated(pg) as one, servicectx.isolated(pg) as two:
        print(len({pg.dbname, one.dbname, two.dbname}))
"""
ALL = """
with servicectx.managed_all("postgres", "redis") as services, servicectx.isolated(services[0]) as db:
    print(len(services), db.dbname != services[0].dbname)
"""


@pytest.fixture(params=sorted(PATCHES))
def patch(request: pytest.FixtureRequest) -> str:
    require(request.param)
    return PATCHES[request.param]


def require(package: str) -> None:
    """Skip the test without the package; fail it where servers are required.

    The package is not imported: the import may change this process.
    """
    if find_spec(package) is None:
        assert not REQUIRED, f"{package} is not installed"
        pytest.skip(f"{package} is not installed")


def test_services_and_databases_of_ones_own(patch: str) -> None:
    assert output(f"{patch}\nimport servicectx\n{USE}") == "3"


def test_patched_after_the_library_was_imported(patch: str) -> None:
    early = "import servicectx; servicectx.managed, servicectx.isolated"
    assert output(f"{early}\nimport servicectx.client.join, servicectx.isolation.namespace\n{patch}\n{USE}") == "3"


def test_several_side_by_side(patch: str) -> None:
    assert output(f"{patch}\nimport servicectx\n{ALL}") == "2 True"


def test_a_failed_start_raises_the_same_error(patch: str) -> None:
    code = f"""{patch}
import servicectx
try:
    servicectx.managed("command", command=["false", "{{port}}"]).__enter__()
except servicectx.StartFailed as error:
    print(error.exit_status)
"""
    assert output(code) == "1"


def test_gevent_goes_on_with_other_work_while_a_service_starts() -> None:
    require("gevent")
    code = """
from gevent import monkey; monkey.patch_all()
import gevent, servicectx
ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.01)
other = gevent.spawn(tick)
gevent.sleep(0)
before = ticks
with servicectx.managed("postgres"):
    print(ticks > before)
other.kill()
"""
    done = run(code)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
