"""The libraries that extensions of Postgres need at its start, and their settings. No server runs here."""

from pathlib import Path
from typing import Any

import pytest

from servicectx.services.postgres import preload

OURS: dict[str, preload.Value] = {"fsync": False, "max_connections": 100}


def program(folder: Path, **requires: str) -> str:
    """A program of a tree whose extensions require others."""
    controls = folder / "share" / "extension"
    controls.mkdir(parents=True)
    for name, required in requires.items():
        (controls / f"{name}.control").write_text(f"requires = '{required}'\n" if required else "comment = 'none'\n")
    (folder / "bin").mkdir()
    (folder / "bin" / "postgres").touch(mode=0o755)
    return str(folder / "bin" / "postgres")


@pytest.mark.parametrize(
    ("extensions", "given", "libraries"),
    [
        (["pg_cron"], {}, "pg_cron"),
        (["timescaledb", "vector"], {}, "timescaledb"),
        (["pg_stat_statements", "citus"], {}, "citus,pg_stat_statements"),  # citus refuses to be loaded after others
        (["citus"], {preload.SETTING: "pg_cron, auto_explain"}, "citus,pg_cron,auto_explain"),
        (["pg_cron"], {preload.SETTING: "auto_explain,pg_cron"}, "auto_explain,pg_cron"),
        (["pgaudit"], {preload.SETTING: ""}, "pgaudit"),
        (["metrics"], {}, "pg_stat_statements"),  # which it requires
        (["auto_explain"], {}, "auto_explain"),
    ],
)
def test_libraries_are_loaded_in_order(
    extensions: list[str], given: dict[str, Any], libraries: str, tmp_path: Path
) -> None:
    postgres = program(tmp_path, metrics="pg_stat_statements", pg_stat_statements="")
    found = preload.merged(OURS, given, postgres, extensions)
    assert found == {**OURS, preload.SETTING: libraries}


def test_the_name_of_the_setting_stays_as_the_caller_wrote_it(tmp_path: Path) -> None:
    given: dict[str, preload.Value] = {"Shared_Preload_Libraries": "auto_explain", "fsync": True}
    found = preload.merged(OURS, given, program(tmp_path), ["pg_cron"])
    assert found == {"fsync": True, "max_connections": 100, "Shared_Preload_Libraries": "auto_explain,pg_cron"}


@pytest.mark.parametrize("extensions", [[], ["vector"]])
def test_other_extensions_change_no_library(extensions: list[str], tmp_path: Path) -> None:
    given: dict[str, preload.Value] = {preload.SETTING: "auto_explain"}
    assert preload.merged(OURS, given, program(tmp_path, vector=""), extensions) == {**OURS, **given}


def test_pg_cron_works_in_the_database_of_the_details() -> None:
    cron = {"cron.database_name": "shop", "cron.use_background_workers": True}
    assert preload.settings(["pg_cron"], "shop") == cron
    assert preload.settings(["timescaledb"], "shop") == {"timescaledb.telemetry_level": "off"}
    assert preload.settings(["vector"], "shop") == {}
