import pytest
from models import Note
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError


@pytest.fixture(params=["session", "rolled_back"])
def notes(request):
    return request.getfixturevalue(request.param)


def test_a_note_is_stored(notes):
    notes.add(Note(text="hello"))
    notes.commit()
    assert notes.scalar(select(func.count(Note.id))) == 1


def test_a_failure_loses_only_what_was_not_committed(notes):
    notes.add(Note(text="hello"))
    notes.commit()
    notes.add(Note(text="hello"))
    with pytest.raises(IntegrityError):
        notes.commit()
    notes.rollback()
    assert notes.scalars(select(Note.text)).all() == ["hello"]


def test_notes_of_other_tests_are_not_there(notes):
    assert not notes.scalars(select(Note)).all()


def test_a_database_of_its_own_also_restarts_sequences(session):
    note = Note(text="hello")
    session.add(note)
    session.commit()
    assert note.id == 1
