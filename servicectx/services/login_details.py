"""The shared details of services with one user and a prefix as namespace."""

from servicectx.services.details import ServiceDetails


class LoginDetails(ServiceDetails):
    """`user` and `password`, empty where a server requires none. In a namespace `prefix` precedes all names."""

    user: str = ""
    password: str = ""
    prefix: str = ""
    version: str | None = None
