"""A case: contenders with the same task, the timed stages, and the bars that `servicectx` must clear."""

from typing import Literal, NamedTuple


class Stage(NamedTuple):
    """The time between two marks. Every process has the marks `began` and `ended`; its script prints the others."""

    name: str
    since: str
    until: str


class Bar(NamedTuple):
    """A limit for the case's subject: a multiple of the contender's time, ms above that time, or absolute ms."""

    limit: float
    kind: Literal["times", "ms more", "ms"] = "times"

    def value(self, subject: float, contender: float) -> float:
        match self.kind:
            case "times":
                return subject / contender
            case "ms more":
                return subject - contender
            case "ms":
                return subject


class Contender(NamedTuple):
    """One contender: a Python process with these arguments after `python`, timed from its exec to its exit.

    In `arguments` and `variables`, `{work}` is a fresh directory of each run, `{base}` a directory of the whole case,
    `{scripts}` the directory of the scripts, `{redis}` and `{postgres}` the server programs. An argument `script:NAME`
    stands for `-c` and the text of that script. `bars` are by stage; `needs` is a package that may be missing.
    """

    name: str
    arguments: tuple[str, ...]
    bars: dict[str, Bar] = {}
    variables: dict[str, str] = {}
    needs: str | None = None
    privileged: bool = False


class Case(NamedTuple):
    """The first contender is the subject. With `unprivileged`, root runs the contenders as another account."""

    name: str
    title: str
    stages: tuple[Stage, ...]
    contenders: tuple[Contender, ...]
    file_system: Literal["memory", "disk"] = "memory"
    unprivileged: bool = False
    missing: str | None = None

    @property
    def subject(self) -> Contender:
        return self.contenders[0]
