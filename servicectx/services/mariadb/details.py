"""Connection details of a MariaDB database."""

from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address, sqlalchemy_address, unknown_driver


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

    def url_for(self, driver: str) -> str:
        """A URL for one driver.

        Args:
            driver: "pymysql", "mysqlclient" (or "mysqldb"), "mysqlconnector", "asyncmy" or "aiomysql" for
                `sqlalchemy.create_engine`; "jdbc" for Java. The drivers themselves take `connect_args`.

        Raises:
            ValueError: no URL is known for this driver.
        """
        if driver == "jdbc":
            login = urlencode({"user": self.user, "password": self.password}, quote_via=quote)
            return f"jdbc:{address('mariadb', self.host, self.port, self.dbname)}?{login}"
        known = ("pymysql", "mysqlclient", "mysqldb", "mysqlconnector", "asyncmy", "aiomysql", "jdbc")
        if driver not in known:
            raise unknown_driver(driver, known)
        return sqlalchemy_address(f"mysql+{'mysqldb' if driver == 'mysqlclient' else driver}", *self._login())

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
