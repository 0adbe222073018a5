"""A user with more open descriptors than `select` can handle."""

from tests.caller.script import output

MANY = """
import os, resource, servicectx
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(5000, hard), hard))
opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(2000)]
"""


def test_a_process_with_2000_open_descriptors_starts_joins_and_leaves() -> None:
    code = f"""{MANY}
with servicectx.managed("redis") as first, servicectx.managed("redis") as second:
    print(first.port == second.port)
"""
    assert output(code) == "True"


def test_a_process_with_2000_open_descriptors_gets_a_database_of_its_own() -> None:
    code = f"""{MANY}
with servicectx.managed("postgres") as pg, servicectx.isolated(pg) as db:
    print(db.dbname != pg.dbname)
"""
    assert output(code) == "True"


def test_all_descriptors_of_the_user_are_still_open_and_its_own() -> None:
    code = f"""{MANY}
kinds = [os.fstat(each) for each in opened]
with servicectx.managed("redis"):
    pass
print(kinds == [os.fstat(each) for each in opened])
"""
    assert output(code) == "True"
