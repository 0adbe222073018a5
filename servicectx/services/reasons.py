"""Reasons why a service does not have an option of other services, for `Service.not_possible`. See `docs/services`."""

CLIENTS_USE_PORTS = "its clients are given a host and a port"
NO_DATABASES = "it has no databases"
ONE_SERVER = "there is one program of this kind"
THIS_PACKAGE = "it runs the package that this Python has; install another version of the package"
APP_LOGINS = "logins are the task of the app"
