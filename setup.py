from setuptools import find_packages, setup

ADAPTERS = find_packages("integrations")

# setup.cfg has the rest: it cannot find packages in two places.
setup(
    packages=[*find_packages(include=["servicectx", "servicectx.*"]), *ADAPTERS],
    package_dir={name: f"integrations/{name}" for name in ADAPTERS},
)
