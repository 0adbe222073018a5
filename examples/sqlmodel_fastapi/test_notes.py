from app import Note


def test_a_note_is_stored(client, session):
    number = client.post("/notes", json={"text": "hello"}).json()["id"]
    assert session.get(Note, number).text == "hello"


def test_a_note_is_read(client, session):
    session.add(Note(text="from the test"))
    session.commit()
    assert client.get("/notes/1").json() == {"id": 1, "text": "from the test"}


def test_there_are_no_notes_at_first(client):
    assert client.get("/notes/1").status_code == 404
