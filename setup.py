import gzip
import os
import re
import shutil
import tarfile
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.sdist import sdist

ADAPTERS = find_packages("integrations")
ROOT = Path(__file__).parent
REPOSITORY = "servicectx/servicectx"  # on GitHub, as in setup.cfg


def readme() -> str:
    """The README for PyPI, which shows neither files of the repository nor their pictures under relative links."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    raw, page = f"https://raw.githubusercontent.com/{REPOSITORY}/main", f"https://github.com/{REPOSITORY}/blob/main"
    text = re.sub(r"(!\[[^]]*\]\(|<img src=\")(?!https?:)", rf"\g<1>{raw}/", text)
    return re.sub(r"(?<=\]\()(?!https?:|#)", f"{page}/", text)


class ExactSdist(sdist):
    """The files as they are. With SOURCE_DATE_EPOCH, as wheels do it: no owner, no other date, and sorted names."""

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        copy = Path(base_dir, "setup.cfg")
        copy.unlink()  # written anew without its comments, which mark generated parts
        shutil.copy2(ROOT / "setup.cfg", copy)

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, owner=None, group=None):
        if format != "gztar" or "SOURCE_DATE_EPOCH" not in os.environ:
            return super().make_archive(base_name, format, root_dir, base_dir, owner, group)
        epoch = int(os.environ["SOURCE_DATE_EPOCH"])

        def plain(entry):
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = epoch, 0, 0, "", ""
            entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
            return entry

        name = f"{base_name}.tar.gz"
        with (
            open(name, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=epoch) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(Path(root_dir or ".") / base_dir, base_dir, filter=plain)  # sorts the names
        return name


# setup.cfg has the rest: it can neither find packages in two places nor change the README.
setup(
    cmdclass={"sdist": ExactSdist},
    long_description=readme(),
    long_description_content_type="text/markdown",
    packages=[*find_packages(include=["servicectx", "servicectx.*"]), *ADAPTERS],
    package_dir={name: f"integrations/{name}" for name in ADAPTERS},
)
