"""How to connect to a MongoDB database."""

from typing import Any, ClassVar

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address


class MongodbDetails(ServiceDetails):
    """A MongoDB server: `user`, `password`, the database `dbname`, and `auth_source`, the one that knows the user."""

    url_form: ClassVar[urls.Form] = urls.Form(
        schemes={"mongodb": {}},
        port=27017,
        user="user",
        password="password",  # noqa: S106  # the name of a field
        path="dbname",
        query={"authSource": "auth_source"},
    )

    user: str = ""
    password: str = ""
    dbname: str = "test"
    auth_source: str = "admin"
    version: str | None = None

    @classmethod
    def url_fields(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """As MongoDB's drivers read it: the database of the URL is the one that knows the user, unless one is named."""
        source = {"auth_source": fields["dbname"]} if fields.get("user") and fields.get("dbname") else {}
        return super().url_fields(source | fields)

    @property
    def url(self) -> str:
        """`mongodb://user:password@host:port/dbname?authSource=admin`."""
        if not self.user:
            return address("mongodb", self.host, self.port, self.dbname)
        plain = address("mongodb", self.host, self.port, self.dbname, self.user, self.password)
        return f"{plain}?authSource={self.auth_source}"

    def env(self) -> dict[str, str]:
        """`MONGODB_URI` and `MONGODB_URL`; MongoDB's own tools read nothing from the environment."""
        return {"MONGODB_URI": self.url, "MONGODB_URL": self.url}
