"""The label of a prepared copy: what it is of, for people. It has no effect on the use of the copy."""

from typing import NamedTuple

from servicectx.system.originals import json

FIELD = "label"  # of a manifest
LONGEST = 500  # characters of one text


class Label(NamedTuple):
    """Service and version of the server, the names of the set-up, the project whose start stored the copy."""

    service: str = ""
    version: str = ""
    setup: str = ""
    project: str = ""

    def fields(self) -> dict[str, str]:
        """The field of a manifest. JSON in ASCII is one line, whatever the texts contain."""
        return {FIELD: json.dumps([text[:LONGEST] for text in self])}

    def of_template(self) -> "Label":
        """The label of a template, which all projects and set-ups share."""
        return self._replace(setup="", project="")


def from_manifest(manifest: dict[str, str] | None, name: str) -> Label:
    """The label in a manifest. Without one, the name of the copy shows its service."""
    try:
        label = Label(*json.loads((manifest or {})[FIELD]))
        if all(isinstance(text, str) for text in label):
            return label
    except (KeyError, ValueError, TypeError, RecursionError):
        pass
    return Label(service=name.rpartition("-")[0].partition("-")[0])
