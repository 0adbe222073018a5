from behave import given, then
from journal import come_to, note, write_a_note
from servicectx_behave import use_service


@given("{count:d} note in {name}")
@given("{count:d} notes in {name}")
def step_write(context, count, name):
    details = getattr(context, name)
    note("used", details, name=name)
    for number in range(1, count + 1):
        assert write_a_note(details) == number, "another user wrote here"


@given("a {name} of its own")
def step_own(context, name):
    note("used", use_service(context, name, name="cache", isolated=True), name="cache")


@then("there is a {name}")
def step_there(context, name):
    note("used", getattr(context, name), name=name)
    come_to("in a step")


@then("there is no {name}")
def step_not_there(context, name):
    assert name not in context, f"{name} is there"


@then("something fails")
def step_fails(context):
    raise AssertionError("as it should")
