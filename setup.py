import re
from pathlib import Path

from setuptools import find_packages, setup

ADAPTERS = find_packages("integrations")
ROOT = Path(__file__).parent
REPOSITORY = "servicectx/servicectx"  # on GitHub, as in setup.cfg


def readme() -> str:
    """The README for PyPI, which shows neither files of the repository nor their pictures under relative links."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    raw, page = f"https://raw.githubusercontent.com/{REPOSITORY}/main", f"https://github.com/{REPOSITORY}/blob/main"
    text = re.sub(r"(!\[[^]]*\]\(|<img src=\")(?!https?:)", rf"\g<1>{raw}/", text)
    return re.sub(r"(?<=\]\()(?!https?:|#)", f"{page}/", text)


# setup.cfg has the rest: it can neither find packages in two places nor change the README.
setup(
    long_description=readme(),
    long_description_content_type="text/markdown",
    packages=[*find_packages(include=["servicectx", "servicectx.*"]), *ADAPTERS],
    package_dir={name: f"integrations/{name}" for name in ADAPTERS},
)
