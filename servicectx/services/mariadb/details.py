"""Connection details of a MariaDB database."""

from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address, filled, sqlalchemy_address, unknown_driver

# The names of drivers, with their names in SQLAlchemy's URLs; the schemes of the Java drivers.
DIALECTS = {"pymysql": "pymysql", "mysqlclient": "mysqldb", "mysqldb": "mysqldb", "mysqlconnector": "mysqlconnector"}
DIALECTS |= {"mysql-connector": "mysqlconnector", "asyncmy": "asyncmy", "aiomysql": "aiomysql"}
JAVA = {"jdbc": "mariadb", "jdbc-mysql": "mysql"}


class MariadbDetails(ServiceDetails):
    """A MariaDB or MySQL database: `user`, `password`, `dbname`, and the forms that clients expect.

    `socket`: the path of its Unix socket, or "". URLs and arguments then lead to the socket.
    """

    foreign: ClassVar[tuple[str, ...]] = (
        "MYSQL_UNIX_PORT",
        "MYSQL_HOME",
        "MARIADB_HOME",
        "MYSQL_GROUP_SUFFIX",
        "MYSQL_TEST_LOGIN_FILE",
        "MYSQL_USER",
        "MYSQL_PWD",
        "MYSQL_PASSWORD",
        "MYSQL_DATABASE",
        "MARIADB_USER",
        "MARIADB_PASSWORD",
        "MARIADB_DATABASE",
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
    socket: str = ""
    version: str | None = None

    @property
    def url(self) -> str:
        """`mysql://user:password@host:port/dbname`, for frameworks. A Unix socket is the parameter `unix_socket`."""
        host, port, dbname, user, password = self._login()
        return address("mysql", host, port, dbname, user, password) + self._parameters()

    @property
    def sqlalchemy_url(self) -> str:
        """For `sqlalchemy.create_engine`, with PyMySQL."""
        return self._sqlalchemy("mysql+pymysql")

    @property
    def async_sqlalchemy_url(self) -> str:
        """For `sqlalchemy.ext.asyncio.create_async_engine`, with asyncmy."""
        return self._sqlalchemy("mysql+asyncmy")

    def url_for(self, driver: str) -> str:
        """A URL for one driver.

        Args:
            driver: "pymysql", "mysqlclient" (or "mysqldb"), "mysqlconnector" (or "mysql-connector"), "asyncmy" or
                "aiomysql" for `sqlalchemy.create_engine`; "jdbc" for the Java driver of MariaDB, "jdbc-mysql" for
                the one of MySQL, both always with the port; "celery" for Celery's database backend, with PyMySQL. The
                drivers themselves take `connect_args`.

        Raises:
            ValueError: no URL is known for this driver.
        """
        if driver in JAVA:
            login = urlencode(filled({"user": self.user, "password": self.password}), quote_via=quote)
            return f"jdbc:{address(JAVA[driver], self.host, self.port, self.dbname)}" + (f"?{login}" if login else "")
        if driver == "celery":
            return f"db+{self.sqlalchemy_url}"
        if driver not in DIALECTS:
            raise unknown_driver(driver, (*DIALECTS, *JAVA, "celery"))
        return self._sqlalchemy(f"mysql+{DIALECTS[driver]}")

    @property
    def connect_args(self) -> dict[str, Any]:
        """The keyword arguments of `connect()` of PyMySQL, asyncmy, mysqlclient and mysql-connector."""
        login = {"host": self.host, "port": self.port, "user": self.user, "password": self.password}
        return login | {"database": self.dbname} | ({"unix_socket": self.socket} if self.socket else {})

    def env(self) -> dict[str, str]:
        """The variables of the `mariadb` and `mysql` programs, `MYSQL_...` and `MARIADB_...` as for the usual images,
        and `DATABASE_URL`.

        The programs read neither user nor database from the environment: `mariadb -u "$MYSQL_USER" "$MYSQL_DATABASE"`.
        """
        parts = {
            "HOST": self.host,
            "PORT": str(self.port),
            "USER": self.user,
            "PASSWORD": self.password,
            "DATABASE": self.dbname,
        }
        names = {f"{prefix}_{part}": value for prefix in ("MYSQL", "MARIADB") for part, value in parts.items()}
        names |= {"MYSQL_TCP_PORT": str(self.port), "MYSQL_PWD": self.password, "DATABASE_URL": self.url}
        socket = {"MYSQL_HOST": "localhost", "MYSQL_UNIX_PORT": self.socket} if self.socket else {}
        return filled(names) | socket

    def _sqlalchemy(self, scheme: str) -> str:
        return sqlalchemy_address(scheme, *self._login()) + self._parameters()

    def _parameters(self) -> str:
        return f"?{urlencode({'unix_socket': self.socket}, safe='/')}" if self.socket else ""

    def _login(self) -> tuple[str, int, str, str, str | None]:
        return self.host, self.port, self.dbname, self.user, self.password or None
