"""Write what follows from the list of services: typed arguments, overloads, public names, fixtures, navigation.

    python -m tests.services.generate            writes the generated parts
    python -m tests.services.generate --check    lists the files that differ, and fails if there are any

A generated part stands between two lines that name it. A new service needs its folder, its test file and its page;
this program writes the rest.
"""

import dataclasses
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from servicectx.services import aliases
from servicectx.services.login import Password

ROOT = Path(__file__).parents[2]
COMMAND = "python -m tests.services.generate"

Service = Any


def folders() -> list[str]:
    """The names of the built-in services."""
    return sorted(path.parent.name for path in (ROOT / "servicectx/services").glob("*/service.py"))


def services() -> list[Service]:
    return [service(name) for name in folders()]


def service(name: str) -> Service:
    """The built-in service in the folder `name`, which the register may not know yet."""
    return getattr(import_module(f"servicectx.services.{name}.service"), name.capitalize())()


def details_of(service: Service) -> tuple[str, str]:
    """Module and name of the details model."""
    module, _, name = service.Details.partition(":")
    return module, name


def options_of(service: Service) -> dict[str, str]:
    """The options, each with its annotation."""
    found: dict[str, str] = {}
    for kind in reversed(service.Options.__mro__):
        if dataclasses.is_dataclass(kind):
            for name, annotation in inspect.get_annotations(cast(type, kind)).items():
                found[name] = _shown(annotation)
    return {name: re.sub(r"\b(collections\.abc|typing)\.", "", text) for name, text in found.items()}


def _shown(annotation: Any) -> str:
    if annotation == Password:
        return "Password"
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"Optional\[(.*)\]$", r"\1 | None", text.replace("typing.", ""))


def _united(annotations: list[str]) -> str:
    """One annotation for all. `None` is its last part."""
    kinds = list(dict.fromkeys(annotation.removesuffix(" | None") for annotation in annotations))
    optional = any(annotation.endswith(" | None") for annotation in annotations)
    return " | ".join([*kinds, *(["None"] if optional else [])])


def arguments() -> str:
    lines = []
    for service in services():
        title = type(service).__name__
        lines += ["", "", f"class {title}Arguments(Arguments, total=False):"]
        lines += [f'    """The arguments of `managed("{service.name}")`."""', ""]
        lines += [f"    {name}: {annotation}" for name, annotation in options_of(service).items()]
    every: dict[str, list[str]] = {}
    for service in services():
        for name, annotation in options_of(service).items():
            every.setdefault(name, []).append(annotation)
    lines += ["", "", "class NamedArguments(Arguments, total=False):"]
    lines += ['    """The arguments of a service that the project names: the options of any built-in service."""', ""]
    lines += [f"    {name}: {_united(annotations)}" for name, annotations in sorted(every.items())]
    return "\n".join(lines[2:])


def overloads() -> str:
    lines = []
    for service in services():
        names = ", ".join(f'"{name}"' for name in aliases.words(service.name))
        title, (_, model) = type(service).__name__, details_of(service)
        lines += ["@overload", "def managed("]
        lines += [f'    service: Literal[{names}], /, **arguments: "Unpack[{title}Arguments]"']
        lines += [f') -> "Managed[{model}]": ...']
    lines += ["@overload", 'def managed(service: str, /, **arguments: "Unpack[NamedArguments]") -> Managed[Any]: ...']
    return "\n".join(lines)


def overload_imports() -> str:
    names = sorted(["NamedArguments", *(f"{type(service).__name__}Arguments" for service in services())])
    models = sorted({details_of(service) for service in services()})
    lines = ["    from servicectx.request.arguments import ("]
    lines += [f"        {name}," for name in names]
    lines += ["    )"]
    return "\n".join(lines + [f"    from {module} import {name}" for module, name in models])


def model_imports() -> str:
    return "\n".join(f"    from {module} import {name}" for module, name in sorted({*map(details_of, services())}))


def model_modules() -> str:
    models = sorted({details_of(service) for service in services()})
    return "\n".join(f'    "{module.removeprefix("servicectx.")}": ("{name}",),' for module, name in models)


def model_names() -> str:
    return "\n".join(f'    "{name}",' for name in sorted({details_of(service)[1] for service in services()}))


def names() -> str:
    return "\n".join(f'    "{name}",' for name in folders())


def navigation() -> str:
    """The pages of services, by title."""
    pages = {name: (ROOT / f"docs/services/{name}.md").read_text(encoding="utf-8") for name in folders()}
    titles = {name: text.partition("\n")[0].removeprefix("# ") for name, text in pages.items()}
    ordered = sorted(titles.items(), key=lambda item: item[1].lower())
    return "\n".join(f"      - {title}: services/{name}.md" for name, title in ordered)


def access() -> str:
    """The table of users that can connect, from the line `Access: ...` of each page."""
    rows = []
    for name in folders():
        page = f"docs/services/{name}.md"
        found = re.search(r"^Access: (.+)\.$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        if found is None:
            raise SystemExit(f"{page} has no line such as: Access: holders of the password.")
        rows.append(f"| `{name}` | {found[1]} |")
    return "\n".join(["", "| service | access |", "|---|---|", *rows, ""])


def variables() -> str:
    """The tables of variables."""
    from tests.services import variables as table

    return table.table()


def extras() -> str:
    """An extra for each service that pip can help with, extras for single versions, and one for all services."""
    named = [service for service in services() if service.name != "command"]
    lines = []
    for service in named:
        for extra, requirements in {service.name: service.requirements, **service.extra_requirements}.items():
            lines += [f"{extra} =", *(f"    {requirement}" for requirement in requirements)]
    return "\n".join([*lines, "services =", f"    servicectx[{','.join(service.name for service in named)}]"])


PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "servicectx/services/registry.py": {"services": names},
    "servicectx/request/arguments.py": {"arguments": arguments},
    "servicectx/_api.py": {"imports": overload_imports, "overloads": overloads},
    "servicectx/__init__.py": {"models": model_imports, "modules": model_modules, "names": model_names},
    "integrations/servicectx_pytest/_fixtures.py": {"services": names},
    "setup.cfg": {"extras": extras},
    "mkdocs.yml": {"services": navigation},
    "docs/security.md": {"access": access},
    "docs/variables.md": {"variables": variables},
}


def generated(file: str) -> str:
    """The file, with its generated parts as they are to be."""
    text = (ROOT / file).read_text(encoding="utf-8")
    for name, part in PARTS[file].items():
        pattern = re.compile(
            rf"^( *(?:<!-- )?)# generated: {name}\b.*\n(?:.*\n)*?\1# end of {name}(.*)\n", re.MULTILINE
        )
        match = pattern.search(text)
        if match is None:
            raise SystemExit(f"{file} has no part between '# generated: {name}' and '# end of {name}'")
        before, after = match[1], match[2]  # in Markdown, a comment
        block = f"{before}# generated: {name}, by {COMMAND}{after}\n{part()}\n{before}# end of {name}{after}\n"
        text = text[: match.start()] + block + text[match.end() :]
    return formatted(text, file) if file.endswith(".py") else text


def formatted(text: str, file: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(ROOT / file), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def stale() -> list[str]:
    """The files whose generated parts differ."""
    return [file for file in PARTS if generated(file) != (ROOT / file).read_text(encoding="utf-8")]


def main() -> None:
    found = stale()
    if sys.argv[1:] == ["--check"]:
        sys.exit(f"these files have stale parts; run {COMMAND}: {', '.join(found)}" if found else 0)
    for file in found:
        (ROOT / file).write_text(generated(file), encoding="utf-8")
        print(f"wrote {file}")


if __name__ == "__main__":
    main()
