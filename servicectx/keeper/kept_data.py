"""Keeping the data of one instance: the condition, a clean end of the server, and the record for a later `open`."""

import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servicectx.keeper import snapshot
from servicectx.state import keep_record, persistent
from servicectx.state.instance import Instance
from servicectx.state.keep_record import KeepRecord

if TYPE_CHECKING:
    from servicectx.keeper.startup import Startup

CLEAN_STOP = 60.0  # seconds for a server to write everything and end
COMPANION_STOP = 10.0


class KeptData:
    """The decision whether the data of one instance stays, and its record.

    `_requested`: the start requested it. `opened`: the instance runs on data that an earlier one kept.
    """

    def __init__(self, instance: Instance, id: str, command: dict[str, Any]) -> None:
        self._instance = instance
        self._id = id
        self._container = Path(command["data_directory"])
        self._record = KeepRecord(**command["record"]) if command.get("record") else None
        self.opened: bool = command.get("opened", False)
        self.persist: bool = command.get("persist", False)
        self._requested: bool = command.get("keep_data", False)
        self._usable = False
        self._lock = -1

    def applies(self) -> bool:
        """Whether the data stays. Data of a start that never became usable, or persistent data without the end of its
        set-up, is removed.
        """
        if self.persist and not self.opened:
            return persistent.is_complete(self._container)
        return self.opened or (self._usable and (self._requested or self._instance.keeps_data(self._id)))

    def note(self, report: dict[str, Any]) -> None:
        """Write the record, once the server is usable: in the instance, and beside data that stays in any case.

        Raises OSError where data that must stay could not be opened again.
        """
        if self._record is None or self.opened:
            self._usable = True
            return
        record = self._record._replace(server_version=report.get("valkey") or report.get("version"))
        directory = self._instance.directory(self._id)
        if not self._requested:
            with contextlib.suppress(OSError):  # a full home: data that is kept later then has no record
                keep_record.write_draft(directory, record)
        else:
            keep_record.write_draft(directory, record)
            keep_record.publish(directory, self._container)
            self._lock = keep_record.lock(self._container)
        self._usable = True

    def finish(self) -> None:
        """Publish the record beside the data, once the server is gone."""
        keep_record.publish(self._instance.directory(self._id), self._container)


def end_cleanly(start: "Startup") -> None:
    """End the server by its clean signal, after a flush of data that the signal alone would lose.

    A server that does not end in time is killed; then, as after a crash, only durable settings protect its data.
    """
    server, plan = start.server, start.plan
    if server is None:
        return
    if server.exit_status is None:
        snapshot.is_settled(start, server)
        server.end(CLEAN_STOP, plan.snapshot.signal if plan.snapshot else signal.SIGTERM)
        start.server = None
    while start.companions:
        start.companions.pop().end(COMPANION_STOP, signal.SIGTERM)
