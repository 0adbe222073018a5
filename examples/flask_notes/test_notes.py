from app import Note, db


def test_a_note_is_read(client):
    assert client.post("/notes", json={"text": "hello"}).json == {"id": 1}
    assert client.get("/notes").json == {"notes": ["hello"]}


def test_there_are_no_notes_at_first(client):
    assert client.get("/notes").json == {"notes": []}


def test_the_database_is_reached_directly(client):
    db.session.add(Note(text="from the test"))
    db.session.commit()
    assert client.get("/notes").json == {"notes": ["from the test"]}
