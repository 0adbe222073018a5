import pytest
import pytest_asyncio
from httpx import ASGITransport, AsyncClient


@pytest_asyncio.fixture
async def client(app):
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://app") as client,
    ):
        yield client


@pytest.mark.asyncio
async def test_a_note_is_read_and_counted(client):
    number = (await client.post("/notes", params={"text": "hello"})).json()["id"]
    assert number == 1
    assert (await client.get("/notes/1")).json() == {"text": "hello", "read": 1}
    assert (await client.get("/notes/1")).json() == {"text": "hello", "read": 2}


@pytest.mark.asyncio
async def test_there_are_no_notes_at_first(client):
    assert (await client.get("/notes/1")).status_code == 404
