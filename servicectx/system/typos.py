"""Corrections of misspelt words."""

from collections.abc import Iterable


def closest(word: str, known: Iterable[str], slips: int = 1) -> str | None:
    """The known word that differs from `word` in at most `slips` slips, or in upper and lower case; else None.

    A slip is a letter that is missing, added, wrong, or swapped with its neighbour. A known word gives None.
    """
    words = list(known)
    if word in words:
        return None
    distances = {candidate: _distance(word.strip().casefold(), candidate.casefold()) for candidate in words}
    near = [candidate for candidate, distance in distances.items() if distance <= slips]
    return min(near, key=lambda candidate: distances[candidate], default=None)


def _distance(one: str, other: str) -> int:
    """The number of slips between two texts (optimal string alignment)."""
    rows = [list(range(len(other) + 1))]
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, expected in enumerate(other, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != expected))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == expected:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]
