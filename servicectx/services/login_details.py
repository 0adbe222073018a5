"""What details have in common where a server knows one user, and namespaces are prefixes."""

from servicectx.services.details import ServiceDetails


class LoginDetails(ServiceDetails):
    """`user` and `password`, empty where a server asks for none. In a namespace `prefix` goes before all names."""

    user: str = ""
    password: str = ""
    prefix: str = ""
    version: str | None = None
