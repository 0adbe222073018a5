"""How to connect to a MongoDB database."""

from typing import Any, ClassVar
from urllib.parse import quote

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address, filled, unknown_driver


class MongodbDetails(ServiceDetails):
    """A MongoDB server: `user`, `password`, the database `dbname`, and `auth_source`, the one that knows the user."""

    foreign: ClassVar[tuple[str, ...]] = ("MONGODB_USERNAME", "MONGODB_PASSWORD")
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
        return f"{plain}?authSource={quote(self.auth_source, safe='')}"

    def url_for(self, driver: str) -> str:
        """`url`, for the drivers that read it.

        Args:
            driver: "pymongo" (also for asyncio), "motor", "mongoengine", "beanie", or "celery" for its results.

        Raises:
            ValueError: no URL is known for this driver.
        """
        known = ("pymongo", "motor", "mongoengine", "beanie", "celery")
        if driver not in known:
            raise unknown_driver(driver, known)
        return self.url

    def env(self) -> dict[str, str]:
        """`MONGODB_URI`, `MONGODB_URL`, `MONGO_URL` and the parts (`MONGODB_HOST` ...), for frameworks.

        MongoDB's own tools read nothing from the environment.
        """
        login = {"MONGODB_USERNAME": self.user, "MONGODB_PASSWORD": self.password if self.user else ""}
        parts = {"MONGODB_HOST": self.host, "MONGODB_PORT": str(self.port), "MONGODB_DATABASE": self.dbname}
        return dict.fromkeys(("MONGODB_URI", "MONGODB_URL", "MONGO_URL"), self.url) | filled(parts | login)
