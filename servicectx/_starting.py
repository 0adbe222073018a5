"""A start, from the starter's side. All of it happens under the key's lock, with the first lease in hand."""

import inspect
import os
import threading
import time
import traceback
from typing import Any

from servicectx._ask import Ask
from servicectx._progress import Progress
from servicectx._running import launch, pids
from servicectx._sharing import paths
from servicectx._sharing.instance import Instance
from servicectx._sharing.leases import Lease
from servicectx._sharing.state import FAILED, READY, STARTING, State
from servicectx._sharing.steps import step
from servicectx.errors import SetupFailed, StartFailed, StartTimeout

SNAPSHOT_TIME = 60.0  # seconds to stop, copy and start again


class Abandoned(BaseException):
    """Whoever asked does not want it any more: its task was cancelled."""


def start(
    ask: Ask[Any], instance: Instance, program: str, deadline: float, abandoned: threading.Event
) -> tuple[State, Lease]:
    """Start, set up, publish. Whatever goes wrong, nothing stays but, for those who wait, the reason."""
    id, secret = os.urandom(4).hex(), os.urandom(16).hex()
    plan = ask.service.plan(ask.options, program, secret)
    snapshot = ask.snapshot_name(plan)
    data = paths.data_root(plan.expected_size, plan.account) / instance.directory(id).name
    state = State(
        id=id,
        phase=STARTING,
        service=ask.service.name,
        name=ask.name,
        scope=ask.scope,
        since=time.time(),
        starter=pids.me(),
        data_directory=str(data),
    )
    keeper = lease = None
    try:
        instance.create(id)
        lease = instance.lease(id, state.starter.start)
        assert lease is not None
        instance.write(state)
        keeper = launch.Launch(instance, id)
        step("spawned")
        left = max(0.0, deadline - time.monotonic())
        keeper.order(plan, name=ask.name, data_directory=str(data), timeout=ask.timeout, left=left, snapshot=snapshot)
        ask.service.details_model()  # imports pydantic, while the keeper starts the server
        launch.sweep(instance.home, instance.key)
        with Progress(f"starting {ask.name}"):
            facts = keeper.facts(deadline, abandoned.is_set)
        told = ask.service.details(ask.options, facts, secret)
        state = state._replace(host=facts["host"], port=facts["port"], ping=plan.ping, details=told)
        details = ask.details(state.host, state.port, told)
        _check(ask, details, deadline, abandoned)
        if not facts["restored"]:
            _set_up(ask, details, program)
            if snapshot:
                keeper.keep_snapshot()
                keeper.facts(time.monotonic() + SNAPSHOT_TIME, abandoned.is_set)
        instance.wish(id, ask.linger, ask.keep_data)
        if not launch.is_kept(instance, state):
            raise launch.KeeperLost
        if not launch.lives(instance, state):
            raise StartFailed(service=ask.service.name, name=ask.name, reason="it ended while it was being set up")
        step("publishing")
        state = state._replace(phase=READY)
        instance.write(state)
        step("published")
        return state, lease
    except (StartFailed, StartTimeout, SetupFailed) as error:
        instance.write(state._replace(phase=FAILED, failure=error.record()))
        if lease is not None:
            lease.release()
        raise
    except BaseException as error:
        launch.clear(instance, state)
        if lease is not None:
            lease.release()
        if isinstance(error, launch.KeeperSilent):
            raise _timed_out(ask, "its keeper did not say a word") from None
        if isinstance(error, launch.GivenUp):
            raise Abandoned from None
        raise
    finally:
        if keeper is not None:
            keeper.close()


def _check(ask: Ask[Any], details: Any, deadline: float, abandoned: threading.Event) -> None:
    """What only the caller can tell: the service's own Python check."""
    problem = "its readiness check gave false"
    while True:
        try:
            if ask.service.check(ask.options, details):
                return
        except Exception as error:  # noqa: BLE001  # the user's code, and not connected yet, most likely
            problem = f"its readiness check raised {type(error).__name__}: {error}"
        if abandoned.is_set():
            raise Abandoned
        if time.monotonic() > deadline:
            raise _timed_out(ask, problem)
        time.sleep(0.02)


def _set_up(ask: Ask[Any], details: Any, program: str) -> None:
    if ask.setup is None:
        return
    step("setting-up")
    try:
        if ask.setup_files is not None:
            ask.service.run_files(details, ask.setup_files, program)
        elif callable(ask.setup):
            result = ask.setup(details)
            if inspect.iscoroutine(result):
                import asyncio

                asyncio.run(result)
        ask.service.freeze(details)
    except Exception as error:
        raise SetupFailed(
            service=ask.service.name,
            name=ask.name,
            setup=ask.setup_called(),
            problem=f"{type(error).__name__}: {error}",
            traceback="".join(traceback.format_tb(error.__traceback__)[1:]),
        ) from error


def _timed_out(ask: Ask[Any], waiting_for: str) -> StartTimeout:
    return StartTimeout(service=ask.service.name, name=ask.name, timeout=ask.timeout, waiting_for=waiting_for)
