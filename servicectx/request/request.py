"""A request for an instance: the checked arguments of one `managed()` call, and what follows from them."""

import hashlib
import logging
import os
import sys
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from servicectx.errors import InvalidOption
from servicectx.request import key as _key
from servicectx.request import opened_data, persistent_data
from servicectx.request.address import Address
from servicectx.request.depends import Depends
from servicectx.request.persistent_data import Persistent
from servicectx.request.setup import labels
from servicectx.services import binaries, version_choice
from servicectx.services.base import Plan, Service, Template
from servicectx.services.options import option_values
from servicectx.state import keep_record, setup_record
from servicectx.state.setup_record import SetupRecord

D = TypeVar("D")

log = logging.getLogger("servicectx")

SNAPSHOTS = 3  # the format of snapshots; part of their names, so that snapshots of an older format are never found


class Request(NamedTuple, Generic[D]):
    """Arguments of `managed()` with environment defaults applied. `program` is found when the key is made."""

    service: Service[Any]
    name: str
    scope: str
    setup: _key.Setup | None
    setup_files: list[Path] | None
    snapshot: str | None
    linger: float
    keep_data: bool
    keep_strictly: bool
    storage: str | None
    timeout: float
    options: Any
    opened: opened_data.Opened | None = None
    address: Address = Address()
    depends: Depends | None = None
    persist: bool = False
    persistent: Persistent | None = None  # the data on disk; set by `located`
    given: dict[str, Any] = {}  # the options of the caller and the project
    nonce: str = ""  # of the scope `private`: no other request has it

    def located(self) -> "Request[D]":
        """With `persist`: this request with its data as it is on disk now. Raises KeptDataError."""
        return persistent_data.located(self) if self.persist else self

    def program(self) -> str:
        """The server's program. A search reads dozens of directories, so the result is cached while it exists."""
        if self.persist and self.persistent is None:
            return self.located().program()
        if self.persist and self.opened is not None:
            return persistent_data.program(self)
        if self.opened is not None:
            return opened_data.program(self.service, self.options, self.opened)
        inputs = self._search_inputs()
        if inputs not in _programs or not os.access(_programs[inputs], os.X_OK):
            _programs[inputs] = self.service.program(self.options)
        return _programs[inputs]

    def program_fields(self, program: str) -> dict[str, Any]:
        """The fields of the details about the program, and why it was chosen."""
        if self.opened is not None and program == self.opened.record.program:
            return {"program": program, "program_reason": "it wrote the data"}
        inputs = (program, *self._search_inputs())
        if inputs not in _reasons:
            _reasons[inputs] = version_choice.reason(self.service, self.options, program)
        return {"program": program, "program_reason": _reasons[inputs]}

    def _search_inputs(self) -> tuple[Any, ...]:
        """All that decides which program is found."""
        return (
            *(type(self.service), repr(option_values(self.options)), _key.working_directory()),
            *map(os.environ.get, ("PATH", *binaries.variables(self.service.name))),
            tuple(sys.path),
        )

    def key(self, program: str, setup: str | None = None) -> str:
        """The key of the instance. `setup`: the result of `setup_text()` where the caller has it.

        Persistent data has one instance, whichever set-up made it and whichever program runs on it.
        """
        if self.persist and self.persistent is None:
            return self.located().key(program, setup)
        setup = self.setup_text() if setup is None else setup
        setup, program = ("", "") if self.persist else (setup, program)
        setup += f" snapshot {self.snapshot}" if self.snapshot else ""
        options = option_values(self.options)
        if self.storage is not None:  # callers that request different storage must not share an instance
            options["storage"] = self.storage
        if self.persist:
            options["persist"] = True
        options |= self.address.for_key()
        return _key.key(self._scope_of_key(), self.name, self.service.name, options, setup, program)

    def renewed(self) -> "Request[D]":
        """This request for another instance of the scope `private`, for example after the first was left."""
        return self._replace(nonce=os.urandom(8).hex()) if self.scope == "private" else self

    def _scope_of_key(self) -> str:
        """A private request has one key in each process: a forked child that enters it gets an instance of its own."""
        return f"private:{self.nonce}:{os.getpid()}" if self.scope == "private" else self.scope

    def setup_text(self) -> str:
        """The identity of the set-up, from its code and its files as they are now."""
        return _key.setup_text(self.setup, self.setup_files, self.depends)

    def setup_record(self, text: str) -> SetupRecord | None:
        """The names and the hash of the set-up with the identity `text`, for people; None without a set-up."""
        return None if self.setup is None else setup_record.new(labels(self.setup, self.setup_files), text)

    def plan(self, program: str, secret: str) -> Plan:
        """The plan for the keeper: with durable settings where the data is kept."""
        data = self.opened.data if self.opened is not None else None
        plan = (
            self.service.kept_plan(self.options, program, secret, data)
            if self.keep_data
            else self.service.plan(self.options, program, secret)
        )
        if plan is None:
            raise self._no_data()
        if plan.template is not None:
            plan = plan._replace(template=self._named_by_build(plan.template, program))
        return plan if self.opened is None else opened_data.as_owner(plan, self.opened)

    def _named_by_build(self, template: Template, program: str) -> Template:
        """The template with the build of the program in its key: another build makes another template."""
        from servicectx.request.builds import build_of

        text = f"{template.key} {build_of(self.service, program)}"
        return template._replace(key=f"{self.service.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}")

    def keeps_data(self, program: str) -> bool:
        """Whether the service has data that can be kept. The plan is only looked at, with an example of a password."""
        return self.service.kept_plan(self.options, program, "0" * 32, None) is not None

    def with_what_can_be_kept(self, program: str) -> "Request[D]":
        """This request, without `keep_data` if that is "where possible" and the service has no data to keep.

        Raises InvalidOption before any start or join.
        """
        if not self.keep_data or self.keeps_data(program):
            return self
        if self.keep_strictly:
            raise self._no_data()
        log.warning("the data of %s cannot be kept: %s", self.name, self.service.volatile)
        return self._replace(keep_data=False)

    def _no_data(self) -> InvalidOption:
        option = "persist" if self.persist else "keep_data"
        problem = f"there is nothing to keep: {self.service.volatile.replace('keep_data', option)}"
        return InvalidOption(service=self.service.name, option=option, problem=problem)

    def record(self, program: str, secret: str) -> keep_record.KeepRecord:
        """The record that opens the data again. It has a version if another program than before opens existing data."""
        given, state = option_values(self.options), _key.program_state(program)
        record = keep_record.new(self.service.name, self.name, given, program, state, secret)
        before = self.opened.record if self.opened is not None else record
        if (before.program, before.program_state) == (program, state):
            return record
        return record._replace(server_version=version_choice.version_of(self.service, program))

    def details(self, host: str, port: int, fields: dict[str, Any], setup: SetupRecord | None = None) -> Any:
        """The details model, built without validation: `fields` is trusted, and validators take longer than a join."""
        model = self.service.details_model()
        if unknown := fields.keys() - model.model_fields.keys():
            raise TypeError(f"{type(self.service).__name__}.details() gives {sorted(unknown)}, unknown to {model}")
        base: dict[str, Any] = {"service": self.service.name, "name": self.name, "host": host, "port": port}
        required = {name for name, field in model.model_fields.items() if field.is_required()}
        if missing := required - fields.keys() - base.keys():
            raise TypeError(f"{type(self.service).__name__}.details() lacks {sorted(missing)}, required by {model}")
        if setup is not None:
            base["setup"] = setup.text
        return model.model_construct(**base, **fields)

    def snapshot_name(self, plan: Plan, program: str) -> str | None:
        """The name of the snapshot: equal for equal program, options, set-up and text. None without a snapshot.

        Kept data has a name of its own: durable settings may change its format.
        """
        if self.snapshot is None:
            return None
        usual = self.service.plan(self.options, program, "") if self.keep_data else plan
        if usual.snapshot is None:
            raise InvalidOption(
                service=self.service.name,
                option="snapshot",
                problem=f"the data of {self.service.name} cannot be kept",
            )
        from servicectx.request.builds import data_build_of

        template = plan.template.key if plan.template else ""
        server = f"{template} {data_build_of(self.service, program)}"
        # All projects share a cache, and set-ups of several projects may have one name: the text includes the project.
        setup = f"{_key.snapshot_text(self.setup, self.setup_files, self.depends)} snapshot {self.snapshot}"
        text = f"{SNAPSHOTS} {server} {sorted(option_values(self.options).items())} {setup}"
        text += " durable" if self.keep_data else ""
        return f"{self.service.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


_programs: dict[tuple[Any, ...], str] = {}
_reasons: dict[tuple[Any, ...], str | None] = {}
