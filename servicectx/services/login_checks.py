"""Checks of the login that a caller chooses. A value that no server can use is an InvalidOption before the start."""

import re
from typing import Any

from servicectx.errors import InvalidOption
from servicectx.services.base import Service
from servicectx.services.login import RANDOM
from servicectx.services.options import option_names

LONGEST = 200  # bytes; some protocols write a length in one byte


def check(service: Service[Any], options: Any, *, without: str = "", longest: int = LONGEST) -> None:
    """Check the options `user` and `password`. `without`: characters that a user's name cannot have.

    Raises InvalidOption, also for a user's name together with `password=None`, which means no login.
    """
    check_text(service, "user", options.user, without, longest)
    if not options.password and options.password != "":
        if options.user != type(options)().user:
            raise refused(
                service, "user", "password=None means no login, and then there are no users; omit one of both"
            )
        return
    check_text(service, "password", options.password, longest=longest)


def check_text(service: Service[Any], option: str, value: str, without: str = "", longest: int = LONGEST) -> None:
    """Check one text of a login. Raises InvalidOption, which never contains the value."""
    if value == RANDOM:
        return
    if not value:
        raise refused(service, option, "it is empty" + ("; None means no login" if option == "password" else ""))
    if re.search(r"[\x00-\x1f\x7f-\x9f]", value):
        raise refused(service, option, "it has a line break or another control character")
    if re.search("[\ud800-\udfff]", value):
        raise refused(service, option, "it is not text in UTF-8")
    if found := [letter for letter in without if letter in value]:
        raise refused(service, option, f"{service.name} accepts no {' or '.join(map(repr, found))} in it")
    if (size := len(value.encode())) > longest:
        raise refused(service, option, f"it has {size} bytes, and {service.name} takes no more than {longest}")


def refused(service: Service[Any], option: str, problem: str) -> InvalidOption:
    return InvalidOption(service=service.name, option=option, problem=problem, known=option_names(service.Options))
