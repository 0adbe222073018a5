import pytest
from models import Note
from sqlalchemy import select

pytestmark = pytest.mark.anyio


async def store_and_read(session):
    assert not (await session.scalars(select(Note))).all()
    session.add(Note(text="hello"))
    await session.commit()
    assert (await session.scalars(select(Note.text))).all() == ["hello"]


async def test_in_a_database_of_its_own(async_session):
    await store_and_read(async_session)


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_in_a_transaction(async_rolled_back, turn):
    await store_and_read(async_rolled_back)
