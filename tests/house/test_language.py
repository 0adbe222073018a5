"""Prose names nouns, not persons: see `tests.language`."""

import pytest

from tests import language


@pytest.mark.parametrize("group", language.GROUPS)
def test_prose_names_nouns(group: str) -> None:
    prose = [each for path in language.files(language.GROUPS[group]) for each in language.sentences(path)]
    found = [f"{each.path.name}:{each.line}: {each.text.strip()}" for each in prose if each.people()]
    assert language.share(prose) < language.LIMIT, "\n".join(found)


def test_the_check_finds_what_it_looks_for() -> None:
    bad = language.Sentence(language.ROOT, 1, "Whoever asks is told what the others said.")
    assert bad.people() == ["whoever", "asks", "told", "said"]
    good = language.Sentence(language.ROOT, 1, "The keeper reports the exit status; `said` is code.")
    assert good.people() == []
