"""Misspelt words: the known word that a text was probably meant to be."""

from collections.abc import Iterable


def closest(word: str, known: Iterable[str], slips: int = 1) -> str | None:
    """The known word that differs from `word` in at most `slips` slips, or in upper and lower case; else None.

    A slip is a letter that is missing, added, wrong, or swapped with its neighbour. A word that is known has no typo.
    """
    words = list(known)
    if word in words:
        return None
    distances = {each: _distance(word.strip().casefold(), each.casefold()) for each in words}
    near = [each for each, distance in distances.items() if distance <= slips]
    return min(near, key=lambda each: distances[each], default=None)


def _distance(one: str, other: str) -> int:
    """The number of slips between two texts (optimal string alignment)."""
    rows = [list(range(len(other) + 1))]
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, wanted in enumerate(other, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]
