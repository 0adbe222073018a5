"""How to connect to a MongoDB database."""

from servicectx.details.base import ServiceDetails, address


class MongodbDetails(ServiceDetails):
    """A MongoDB server: `user`, `password`, the database `dbname`, and `auth_source`, the one that knows the user."""

    user: str = ""
    password: str = ""
    dbname: str = "test"
    auth_source: str = "admin"
    version: str | None = None

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
