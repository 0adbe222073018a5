"""The key of prepared data: a template is made again when its key changes."""

import hashlib
import os
from collections.abc import Iterable


def key(service: str, program: str, depends: Iterable[str]) -> str:
    """The key of a template that `program` makes. `depends` holds the texts that the template depends on.

    Paths of the program and of its tree in these texts do not count. The build of the program is added at the start
    of a service, so that another build has another template, and all installations of one build share a template.
    """
    parts = [without_paths(program, text) for text in depends]
    return f"{service}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


def without_paths(program: str, text: str) -> str:
    """A text of a plan without the place of the program and of its tree."""
    tree = os.path.dirname(os.path.dirname(program))
    text = text.replace(program, "<program>")
    return text.replace(f"{tree}/", "<tree>/").replace(f"={tree}", "=<tree>") if len(tree) > 1 else text
