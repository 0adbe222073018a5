"""Checks of external details: one error lists every mistake, and no error shows a value."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from servicectx.errors import DetailsError
from servicectx.services.urls import NAME
from servicectx.system.originals import json

M = TypeVar("M", bound=BaseModel)


class Problems(Exception):
    """Pairs of a field (or "" for the whole) and a problem."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        self.problems = list(problems)
        super().__init__(problems)

    def error(self, source: str | None, path: str | None) -> DetailsError:
        """The error for users. `field` and `problem` hold the first problem, `problems` all of several."""
        field, problem = self.problems[0]
        several = [list(pair) for pair in self.problems] if len(self.problems) > 1 else None
        return DetailsError(source=source, path=path, field=field or None, problem=problem, problems=several)


class JsonObject(NamedTuple):
    """A JSON object. `twice` lists the keys that occur more than once."""

    values: dict[str, Any]
    twice: list[str]


def json_object(text: str) -> JsonObject:
    """The JSON object that a text holds. Raises Problems."""
    twice: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice.extend(key for key in dict.fromkeys(keys) if keys.count(key) > 1)
        return dict(pairs)

    try:
        raw = json.loads(text, object_pairs_hook=collect)
    except ValueError as error:
        raise Problems(("", f"it is not JSON: {error}")) from None
    except RecursionError:
        raise Problems(("", "it is not JSON of details: it is nested too deeply")) from None
    if not isinstance(raw, dict):
        raise Problems(("", f"it holds a {type(raw).__name__}, not a JSON object"))
    return JsonObject(raw, twice)


def checked(model: type[M], values: Mapping[str, Any], twice: Iterable[str] = ()) -> M:
    """The details in `values`, strictly validated. Raises Problems, which lists every mistake."""
    problems = [(_shown(key), "it is given more than once") for key in twice]
    problems += [(_shown(key), _unknown(key, model)) for key in values if key not in model.model_fields]
    problems += _odd_values(values)
    known = {key: value for key, value in values.items() if key in model.model_fields}
    try:
        details = model.model_validate_json(json.dumps(known), strict=True)
    except ValidationError as error:
        found = [
            (".".join(str(part) for part in entry["loc"]), entry["msg"])
            for entry in error.errors(include_url=False, include_input=False)
        ]
        named = {field for field, _ in problems}
        problems += [(field, problem) for field, problem in found if field not in named]
    if problems:
        raise Problems(*problems)
    return details


def _odd_values(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    problems = []
    for key, value in values.items():
        if key == "host" and isinstance(value, str) and not value.strip():
            problems.append((key, "it is empty"))
        elif key == "port" and value == 0 and isinstance(value, int) and not values.get("socket"):
            problems.append((key, "no server listens on port 0; a port is a number from 1 to 65535"))
        elif isinstance(value, str) and not value.isprintable() and any(map(_is_control, value)):
            problems.append((_shown(key), "it has a newline or another control character in it"))
    return problems


def _is_control(letter: str) -> bool:
    return ord(letter) < 32 or 127 <= ord(letter) < 160


def _unknown(key: str, model: type[BaseModel]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(key, model.model_fields, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown field; {model.__name__} has {', '.join(model.model_fields)}{guess}"


def _shown(key: str) -> str:
    """A key as errors show it. A key that is not a name is hidden: it may be a misplaced password."""
    return key if NAME.fullmatch(key) else "(not a name)"
