import pytest
from servicectx_notes.service import NotesDetails, ask

from servicectx import NotIsolable, StartFailed, isolated, managed
from servicectx.testing import Usage, check_service


def put(details: NotesDetails, name: str, text: str) -> None:
    assert ask(details, "PUT", f"/{details.notebook}/{name}", text).status == 200


def get(details: NotesDetails, name: str) -> str | None:
    answer = ask(details, "GET", f"/{details.notebook}/{name}")
    return str(answer.data["text"]) if answer.status == 200 else None


def test_it_keeps_the_promises_of_every_service() -> None:
    check_service("notes", usage=Usage(put, get))


def test_its_options_reach_it() -> None:
    with managed("notes", limit=3) as notes:
        put(notes, "a", "abc")
        assert ask(notes, "PUT", "/main/a", "abcd").status == 413


def test_a_bad_option_fails_with_its_own_words() -> None:
    with pytest.raises(StartFailed, match="leaves no room for notes"):
        managed("notes", limit=0).__enter__()


def test_who_does_not_know_the_token_gets_nothing() -> None:
    with managed("notes") as notes:
        stranger = notes.model_copy(update={"token": "guess"})
        assert get(stranger, "a") is None
        with pytest.raises(NotIsolable, match="the token is missing or wrong"):
            isolated(stranger).__enter__()
