"""A case: contenders with the same task, the timed stages, and the bars that `servicectx` must clear."""

from typing import Literal, NamedTuple


class Stage(NamedTuple):
    """The time between two marks. Every process has the marks `began` and `ended`; its script prints the others."""

    name: str
    since: str
    until: str


class Bar(NamedTuple):
    """A limit for one stage of the subject: a multiple of the peer's time, or absolute ms.

    "times or 5 ms": a multiple, or at most 5 ms more. `less`: two contenders whose times are subtracted first, from
    the subject's and from the peer's. `label` names the stage in the report then.
    """

    stage: str
    subject: str
    peer: str
    limit: float
    kind: Literal["times", "times or 5 ms", "ms"] = "times"
    less: tuple[str, str] | None = None
    label: str | None = None

    @property
    def contenders(self) -> tuple[str, ...]:
        return (self.subject, *([self.peer] if self.peer else []), *(self.less or ()))


class Contender(NamedTuple):
    """One contender: a Python process with these arguments after `python`, timed from its exec to its exit.

    In `arguments` and `variables`, `{work}` is a fresh directory of each run, `{base}` a directory of the account for
    the whole case, `{scripts}` the directory of the scripts, `{redis}` and `{postgres}` the server programs. An
    argument `script:NAME` stands for `-c` and the text of that script. `needs` is a package that may be missing.
    """

    name: str
    arguments: tuple[str, ...]
    variables: dict[str, str] = {}
    needs: str | None = None
    privileged: bool = False


class Case(NamedTuple):
    """The first contender is the subject. With `unprivileged`, root runs the contenders as another account."""

    name: str
    title: str
    stages: tuple[Stage, ...]
    contenders: tuple[Contender, ...]
    bars: tuple[Bar, ...] = ()
    file_system: Literal["memory", "disk"] = "memory"
    unprivileged: bool = False
    missing: str | None = None

    @property
    def subject(self) -> Contender:
        return self.contenders[0]
