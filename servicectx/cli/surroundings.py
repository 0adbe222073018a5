"""The machine around servicectx, for `servicectx doctor`: versions, system, container engine."""

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import servicectx
from servicectx.cli.finding import FINE, Finding

# Distributions whose versions explain errors: the dependencies, the command line, and the runners of tests.
PACKAGES = ("mirakuru", "pydantic", "filelock", "platformdirs", "click", "rich", "pytest", "pytest-xdist", "behave")
ENGINES = ("docker", "podman", "nerdctl")
# Files that an engine puts into its containers.
CONTAINER_FILES = {"/.dockerenv": "Docker", "/run/.containerenv": "Podman"}


def _servicectx(name: str) -> Finding:
    return Finding(name, FINE, f"{servicectx.__version__}, {Path(servicectx.__file__).parent}")


def _packages(name: str) -> Finding:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Finding(name, FINE, ", ".join(f"{package} {version}" for package, version in found.items()))


def _system(name: str) -> Finding:
    libc = " ".join(platform.libc_ver()).strip() or "no glibc"
    parts = [platform.system(), platform.release(), platform.machine(), libc, f"{os.cpu_count()} processors"]
    return Finding(name, FINE, ", ".join(parts))


def _container(name: str) -> Finding:
    """Whether this process runs in a container, and the engine on PATH. Services use no engine."""
    inside = next((engine for path, engine in CONTAINER_FILES.items() if os.path.exists(path)), None)
    if inside is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        inside = "Kubernetes"
    here = f"in a container of {inside}" if inside else "not in a known container"
    programs = [program for program in map(shutil.which, ENGINES) if program]
    engine = f"engine: {', '.join(programs)}, which no service uses" if programs else "no engine on PATH, none is used"
    return Finding(name, FINE, f"{here}; {engine}")


CHECKS: dict[str, Callable[[str], Finding]] = {
    "servicectx": _servicectx,
    "packages": _packages,
    "system": _system,
    "container": _container,
}
