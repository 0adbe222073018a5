"""`servicectx doctor --form`: the findings as Markdown, for an issue or a message."""

import os
from collections.abc import Iterable
from pathlib import Path

from servicectx.cli.finding import ABSENT, Finding
from servicectx.request.project import project
from servicectx.services import registry

MARKS = {ABSENT: "-"}
NOT_INSTALLED = "not installed"


def form(findings: Iterable[Finding]) -> str:
    """A heading and a block of text. Services that are not installed take one line; private paths are shortened."""
    findings = list(findings)
    services = registry.names()
    absent = [finding.what for finding in findings if finding.result == ABSENT and finding.what in services]
    shown = [finding for finding in findings if finding.what not in absent]
    width = max(len(NOT_INSTALLED), *(len(finding.what) for finding in shown))
    lines = [
        f"{MARKS.get(finding.result, finding.result):5}  {finding.what.ljust(width)}  {_public(finding.text)}"
        for finding in shown
    ]
    if absent:
        lines.append(f"-      {NOT_INSTALLED.ljust(width)}  {', '.join(absent)}")
    return "\n".join(["### servicectx doctor", "", "```text", *lines, "```"])


def _public(text: str) -> str:
    """The text with short names for the directories of the project and of the user, which may name persons."""
    for path, name in ((str(project()), "PROJECT"), (os.path.expanduser("~"), "~")):
        if path not in ("/", "~") and Path(path).is_absolute():
            text = text.replace(path, name)
    return text
