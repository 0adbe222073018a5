"""The password that a caller chooses, for every service with a login."""

from typing import Final, Literal, TypeAlias

RANDOM: Final = "(random)"  # the default: each instance gets a password of its own

# None and False: the server accepts clients without a login. TOML has no None, hence False.
Password: TypeAlias = str | Literal[False] | None


def chosen(password: Password, secret: str) -> str | None:
    """The password of an instance: `secret` by default, else the caller's. None: there is no login."""
    return secret if password == RANDOM else password or None
