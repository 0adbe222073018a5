"""Connection details of a MariaDB database."""

from typing import Any, ClassVar

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address, sqlalchemy_address


class MariadbDetails(ServiceDetails):
    """A MariaDB or MySQL database: `user`, `password`, `dbname`, and the forms that clients expect."""

    foreign: ClassVar[tuple[str, ...]] = (
        "MYSQL_UNIX_PORT",
        "MYSQL_HOME",
        "MARIADB_HOME",
        "MYSQL_GROUP_SUFFIX",
        "MYSQL_TEST_LOGIN_FILE",
    )
    url_form: ClassVar[urls.Form] = urls.Form(
        schemes={"mysql": {}, "mariadb": {}},
        drivers=True,
        port=3306,
        user="user",
        password="password",  # noqa: S106  # the name of a field
        path="dbname",
    )

    user: str = "root"
    password: str = ""
    dbname: str = "test"
    version: str | None = None

    @property
    def url(self) -> str:
        """`mysql://user:password@host:port/dbname`, for frameworks."""
        host, port, dbname, user, password = self._login()
        return address("mysql", host, port, dbname, user, password)

    @property
    def sqlalchemy_url(self) -> str:
        """For `sqlalchemy.create_engine`, with PyMySQL."""
        return sqlalchemy_address("mysql+pymysql", *self._login())

    @property
    def async_sqlalchemy_url(self) -> str:
        """For `sqlalchemy.ext.asyncio.create_async_engine`, with asyncmy."""
        return sqlalchemy_address("mysql+asyncmy", *self._login())

    @property
    def connect_args(self) -> dict[str, Any]:
        """The keyword arguments of `connect()` of PyMySQL, asyncmy, mysqlclient and mysql-connector."""
        login = {"host": self.host, "port": self.port, "user": self.user, "password": self.password}
        return login | {"database": self.dbname}

    def env(self) -> dict[str, str]:
        """The variables of the `mariadb` and `mysql` programs, of MySQL on CI systems, and `DATABASE_URL`.

        The programs read neither user nor database from the environment: `mariadb -u "$MYSQL_USER" "$MYSQL_DATABASE"`.
        """
        return {
            "MYSQL_HOST": self.host,
            "MYSQL_TCP_PORT": str(self.port),
            "MYSQL_PORT": str(self.port),
            "MYSQL_USER": self.user,
            "MYSQL_PWD": self.password,
            "MYSQL_PASSWORD": self.password,
            "MYSQL_DATABASE": self.dbname,
            "DATABASE_URL": self.url,
        }

    def _login(self) -> tuple[str, int, str, str, str | None]:
        return self.host, self.port, self.dbname, self.user, self.password or None
