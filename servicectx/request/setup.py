"""The run of a set-up: the caller's code or files, on fresh data. Its exception is raised as SetupFailed."""

import inspect
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from servicectx.errors import BinaryNotFound, InvalidOption, SetupFailed
from servicectx.isolation.setup_step import SetupStep
from servicectx.request import key
from servicectx.request.depends import Depends
from servicectx.request.depends import depends_of as check_depends
from servicectx.request.project import project
from servicectx.services.base import Service
from servicectx.system.checkpoints import step


def steps_of(service: Service[Any], setup: Any) -> Any:
    """A set-up in its simplest form: one callable, files, or a tuple of steps where several include a callable.

    Raises InvalidOption for a value that is neither a callable nor a file, and for a missing file.
    """
    steps = list(setup) if isinstance(setup, list | tuple) and not callable(setup) else [setup]
    for item in steps:
        if setup is not None and not callable(item) and not isinstance(item, str | os.PathLike):
            problem = f"{item!r} is neither a callable nor a file; give one of them, or a list of them"
            raise InvalidOption(service=service.name, option="setup", problem=problem)
    if not any(map(callable, steps)):
        return setup if len(steps) == 1 and steps[0] is setup else steps
    for item in steps:
        files_of(service, item)
    return steps[0] if len(steps) == 1 else tuple(steps)


def files_of(service: Service[Any], setup: key.Setup | None) -> list[Path] | None:
    """The files of a set-up, or None for a callable. Raises InvalidOption where the service takes no files."""
    files = None if setup is None else key.setup_files(service.name, setup)
    if files is not None and type(service).run_files is Service.run_files:
        problem = f"{service.name} takes a callable, not files"
        raise InvalidOption(service=service.name, option="setup", problem=problem)
    return files


def depends_of(service: Service[Any], setup: Any, given: Any, root: Path | None = None) -> Depends:
    """The files of `depends=`, checked, with those of the set-up's own callables.

    Raises InvalidOption: another type, or a pattern without a match.
    """
    depends = check_depends(service.name, given, root)
    depends.check()
    for item in setup if isinstance(setup, list | tuple) and not callable(setup) else [setup]:
        if callable(item):
            depends.of(item).check()
    return depends


def called(setup: Any, files: list[Path] | None) -> str:
    """The label of a set-up in messages."""
    if key.is_stack(setup, files):
        return ", ".join(called(*step) for step in key.setup_steps(setup))
    return _name(setup) if files is None else ", ".join(str(file) for file in files)


def labels(setup: Any, files: list[Path] | None) -> list[str]:
    """The names of the steps of a set-up, for people: files relative to the project."""
    if key.is_stack(setup, files):
        return [label for step in key.setup_steps(setup) for label in labels(*step)]
    return [_name(setup)] if files is None else [_short_path(file) for file in files]


def _name(step: Any) -> str:
    """The text `setup_label` of a callable, else its name."""
    from servicectx.request import fingerprint

    label = getattr(step, "setup_label", None)
    return label if isinstance(label, str) else fingerprint.called(step)


def _short_path(file: Path) -> str:
    try:
        return str(file.relative_to(project()))
    except (ValueError, FileNotFoundError):  # elsewhere, or the working directory was removed
        return str(file)


def run(
    service: Service[Any],
    details: Any,
    setup: Any,
    files: list[Path] | None,
    program: Callable[[], str],
    then: Callable[[Any], bool | None] | None = None,
) -> bool:
    """Run the set-up, and `then`; False if `then` returned False. Raises SetupFailed from the error of the set-up."""
    if key.is_stack(setup, files):
        *before, (setup, files) = key.setup_steps(setup)
        for step_setup, step_files in before:
            run(service, details, step_setup, step_files, program)
    try:
        if files is not None:
            service.run_files(details, files, program())
        elif callable(setup):
            result = setup(details)
            if inspect.iscoroutine(result):
                import asyncio

                asyncio.run(result)
        step("set-up-done")
        return then is None or then(details) is not False
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise SetupFailed(
            service=service.name,
            name=details.name,
            setup=called(setup, files),
            problem="\n".join(filter(None, [problem, service.explain(problem, details)])),
            traceback="".join(traceback.format_tb(error.__traceback__)[1:]),
        ) from error


def namespace_steps(service: Service[Any], setup: Any, depends: Any = None) -> list[SetupStep]:
    """The set-up steps of `isolated()`: one set-up, or a list or tuple of set-ups on top of each other."""
    stack = [] if setup is None else list(setup) if isinstance(setup, list | tuple) and not callable(setup) else [setup]
    for item in stack:
        steps_of(service, item)
    if depends is not None and not stack:
        raise without_setup(service.name)
    files = depends_of(service, stack, depends)
    return [_namespace_step(service, item, files_of(service, item), files) for item in stack]


def without_setup(service: str) -> InvalidOption:
    """The error of `depends=` without a set-up."""
    problem = "it names the files that the set-up reads, and no set-up is given; give setup= too"
    return InvalidOption(service=service, option="depends", problem=problem)


def _namespace_step(service: Service[Any], setup: Any, files: list[Path] | None, depends: Depends) -> SetupStep:
    identity = key.setup_data(setup, files, depends)
    return SetupStep(
        identity, called(setup, files), lambda details: run(service, details, setup, files, _program(service))
    )


def _program(service: Service[Any]) -> Callable[[], str]:
    def find() -> str:
        try:
            return service.program(service.options({}))
        except BinaryNotFound:  # the server may be external; `run_files` reports a missing program
            return ""

    return find
