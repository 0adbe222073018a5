"""A real SeaweedFS, with boto3; and MinIO's command line."""

import http.client
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from servicectx import BinaryNotFound, InvalidOption, NotIsolable, S3Details, UnknownService, isolated, managed
from servicectx.services import registry
from servicectx.testing import privacy
from servicectx.wire.aws import Endpoint
from tests import servers
from tests.services import killed
from tests.services.row import ODD_PASSWORD, Login, Row

KEYS = {"access_key": "AKIDEXAMPLE", "secret_key": ODD_PASSWORD, "region": "eu-central-1"}
ROWS = [
    Row(
        "s3",
        logins=(Login("keys", KEYS, KEYS, ({"secret_key": "guess"}, {"access_key": "guess"})),),
        not_possible=(({"secret_key": None}, "S3's clients sign every request"),),
    ),
]


ONCE = Config(retries={"max_attempts": 0})


@contextmanager
def connected(details: S3Details) -> Iterator[Any]:
    connection = boto3.client("s3", **details.boto3, config=ONCE)
    try:
        yield connection
    finally:
        connection.close()


def put(details: S3Details, name: str, value: str) -> None:
    with connected(details) as s3:
        if not details.bucket:
            s3.create_bucket(Bucket="texts")
        s3.put_object(Bucket=details.bucket or "texts", Key=name, Body=value.encode())


def get(details: S3Details, name: str) -> str | None:
    with connected(details) as s3:
        try:
            found: bytes = s3.get_object(Bucket=details.bucket or "texts", Key=name)["Body"].read()
        except (s3.exceptions.NoSuchBucket, s3.exceptions.NoSuchKey):
            return None
        return found.decode()


def buckets(details: S3Details) -> list[str]:
    with connected(details) as s3:
        return [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


def test_objects_small_and_large() -> None:
    large = os.urandom(12 << 20)
    with managed("s3") as details, connected(details) as s3:
        assert buckets(details) == []
        put(details, "a/ä <&> +", "green")
        assert get(details, "a/ä <&> +") == "green"
        s3.put_object(Bucket="texts", Key="large", Body=large)
        assert s3.get_object(Bucket="texts", Key="large")["Body"].read() == large
        with pytest.raises(ClientError, match="BucketNotEmpty"):
            s3.delete_bucket(Bucket="texts")
        with pytest.raises(ClientError, match="NoSuchBucket"):
            s3.put_object(Bucket="nowhere", Key="a", Body=b"1")


def test_chosen_buckets_are_there() -> None:
    with managed("s3", access_key="test", secret_key="test", buckets=["photos", "my.texts"]) as details:
        assert (details.access_key, details.secret_key, details.bucket) == ("test", "test", "photos")
        assert buckets(details) == ["my.texts", "photos"]
        put(details, "a", "1")
        with isolated(details) as mine:
            assert get(mine, "a") is None
        assert get(details, "a") == "1"


def test_a_snapshot_has_the_chosen_buckets_once() -> None:
    def fill(details: S3Details) -> None:
        put(details, "a", "1")

    for _ in range(2):
        with managed("s3", buckets=["photos"], setup=fill, snapshot="buckets") as details:
            assert (buckets(details), get(details, "a")) == (["photos"], "1")


@pytest.mark.parametrize("name", ["Photos", "ab", "1.2.3.4", "a..b", "-ab", "sc-ab", "a_b", "a" * 64])
def test_a_name_that_no_bucket_can_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidOption, match=r"buckets.*is not the name of a bucket"):
        managed("s3", buckets=["photos", name]).__enter__()
    with pytest.raises(InvalidOption, match="buckets"):
        managed("s3", buckets="photos").__enter__()


@pytest.mark.parametrize(
    ("key", "option"), [({"access_key": "ab"}, "access_key"), ({"secret_key": "short"}, "secret_key")]
)
def test_a_key_that_minio_refuses_is_refused_before_the_start(key: dict[str, str], option: str, tmp_path: Path) -> None:
    service = registry.find("s3")
    with pytest.raises(InvalidOption, match="MinIO requires at least") as caught:
        service.plan(service.options(key), str(tmp_path / "minio"), "s" * 32)
    assert caught.value.option == option


def test_a_key_with_a_delimiter_of_the_signature_is_refused() -> None:
    for key in ("a/b", "a=b", "a,b", "a b"):
        with pytest.raises(InvalidOption, match=r"access_key.*accepts no"):
            managed("s3", access_key=key).__enter__()


def test_many_buckets() -> None:
    with managed("s3") as details, connected(details) as s3:
        for number in range(30):
            s3.create_bucket(Bucket=f"bucket-{number}")
            s3.put_object(Bucket=f"bucket-{number}", Key="a", Body=b"1")
        assert len(buckets(details)) == 30


def test_a_presigned_url() -> None:
    with managed("s3") as details, connected(details) as s3:
        put(details, "a", "1")
        url = s3.generate_presigned_url("get_object", {"Bucket": "texts", "Key": "a"})
        assert url.startswith(f"{details.url}/texts/a?")  # path style
        assert urllib.request.urlopen(url).read() == b"1"
        newer = boto3.client("s3", **details.boto3, config=Config(signature_version="s3v4"))
        upload = newer.generate_presigned_url("put_object", {"Bucket": "texts", "Key": "b"})
        newer.close()
        urllib.request.urlopen(urllib.request.Request(upload, data=b"2", method="PUT")).close()
        assert get(details, "b") == "2"
        for bad in (url.replace("/texts/a?", "/texts/b?"), f"{details.url}/texts/a"):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(bad)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [({"secret_key": "guess"}, "SignatureDoesNotMatch"), ({"access_key": "AKIAGUESS"}, "InvalidAccessKeyId")],
)
def test_wrong_keys_are_refused(wrong: dict[str, str], problem: str) -> None:
    with managed("s3") as details:
        bad = details.model_copy(update=wrong)
        with pytest.raises(ClientError, match=problem):
            buckets(bad)
        with pytest.raises(NotIsolable, match="a bucket cannot be created: "), isolated(bad):
            pass


def test_whoever_has_no_key_is_kept_out_of_its_other_ports_too(home: Path) -> None:
    with managed("s3") as details:
        put(details, "a", "1")
        ports = {
            end.laddr.port for process in privacy.processes(home) for end in process.net_connections() if process.pid
        }
        ports = {port for port in ports if servers.listeners(port)}
        assert len(ports) == 8
        for port in ports:
            assert servers.listens_on_loopback_only(port)
            for method, path in [
                ("PUT", "/buckets/texts/b"),
                ("GET", "/buckets/texts/a"),
                ("GET", "/1,01"),
                ("GET", "/texts/a"),
            ]:
                assert refuses(details, port, method, path), (port, method, path)
        assert get(details, "b") is None


def refuses(details: S3Details, port: int, method: str, path: str) -> bool:
    connection = http.client.HTTPConnection(details.host, port, timeout=10)
    try:
        connection.request(method, path, "2")
        return connection.getresponse().status >= 400
    except (http.client.HTTPException, ConnectionError):  # a gRPC port
        return True
    finally:
        connection.close()


def test_no_secret_is_on_a_command_line(home: Path) -> None:
    with managed("s3") as details:
        assert len(privacy.processes(home)) >= 4
        assert not [line for line in servers.command_lines() if details.secret_key in line]


def test_nothing_of_it_lies_in_the_temporary_directory() -> None:
    before = set(Path("/tmp").glob("seaweedfs-*"))
    with managed("s3") as details:
        put(details, "a", "1")
        assert set(Path("/tmp").glob("seaweedfs-*")) == before


def test_the_environment_is_enough_for_clients() -> None:
    script = "import boto3; boto3.client('s3').create_bucket(Bucket='made')"
    with managed("s3") as details:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        subprocess.run([sys.executable, "-c", script], env=plain | details.env(), check=True)
        assert buckets(details) == ["made"]


def test_the_version_is_told() -> None:
    program = registry.find("s3").program(None)
    output = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
    with managed("s3") as details:
        assert details.version
        assert f" {details.version} " in output


def test_each_instance_has_keys_of_its_own() -> None:
    with managed("s3", name="a") as first, managed("s3", name="b") as second:
        assert first.access_key != second.access_key
        assert first.secret_key != second.secret_key
        assert first.secret_key[:16].upper() not in first.access_key


def test_settings_and_the_region_reach_it() -> None:
    with managed("s3", region="eu-central-1", settings={"autoCreateBucket": True}) as details, connected(details) as s3:
        assert s3.meta.region_name == "eu-central-1"
        s3.put_object(Bucket="made-on-the-way", Key="a", Body=b"1")
        assert buckets(details) == ["made-on-the-way"]
        with isolated(details) as mine:
            put(mine, "a", "1")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"no-such-flag": 1}, "weed s3: flag provided but not defined: -no-such-flag"),
        ({"idleTimeout": "much"}, 'weed s3: invalid value "much" for flag -idleTimeout'),
        ({"port": 1}, "'port' is set by servicectx"),
        ({"localSocket": "/tmp/s"}, "'localSocket' is set by servicectx"),
    ],
)
def test_a_bad_setting_fails_with_the_server_s_own_words(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught, managed("s3", settings=given):
        pass
    assert message in str(caught.value)


def test_a_namespace_is_emptied_and_removed() -> None:
    with managed("s3") as details, connected(details) as s3:
        with isolated(details) as mine:
            assert buckets(details) == [mine.bucket]
            s3.put_bucket_versioning(Bucket=mine.bucket, VersioningConfiguration={"Status": "Enabled"})
            for name in ("a", "a", "b/ä <&> +", "b/c", "'\""):
                put(mine, name, "1")
            s3.delete_object(Bucket=mine.bucket, Key="a")
        assert buckets(details) == []


def test_a_namespace_with_more_than_a_page_of_objects() -> None:
    with managed("s3") as details:
        with isolated(details) as mine:
            here = Endpoint.of(mine)
            for number in range(1100):
                assert here.ask("s3", "PUT", f"/{mine.bucket}/{number}", "1").status == 200
        assert buckets(details) == []


def test_what_a_killed_user_left_is_removed_by_the_next() -> None:
    with managed("s3") as details:
        killed.in_a_namespace(details)
        (left,) = buckets(details)
        with isolated(details) as mine:
            assert buckets(details) == [mine.bucket] != [left]


def test_a_snapshot_keeps_objects() -> None:
    def fill(details: S3Details) -> None:
        put(details, "a", "1")

    with managed("s3", setup=fill, snapshot="one") as first:
        assert get(first, "a") == "1"
    with managed("s3", setup=fill, snapshot="one") as second:
        assert get(second, "a") == "1"
        assert second.secret_key != first.secret_key
        put(second.model_copy(update={"bucket": "texts"}), "b", "2")
        assert get(second, "b") == "2"


def test_a_missing_minio_is_not_looked_for_in_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BinaryNotFound, match=r"go install github\.com/minio/minio@latest") as caught:
        managed("s3", flavour="minio").__enter__()
    assert "servicectx[s3]" not in str(caught.value)
    with pytest.raises(UnknownService, match="'s3' replaces it"):
        managed("minio")


def test_minio_s_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MinIO is not available where these tests run."""
    program = tmp_path / "minio"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("SERVICECTX_S3_BIN", str(program))
    service = registry.find("s3")
    options = service.options({"region": "eu-central-1", "settings": {"MINIO_COMPRESSION_ENABLE": True}})
    assert service.program(options) == str(program)
    plan = service.plan(options, str(program), "hush")
    assert plan.command == [
        *(str(program), "server", "--address", "{host}:{port}", "--console-address", "{host}:{port_console}", "{data}")
    ]
    assert plan.ports.extra == ["console"]
    variables = {name: value for name, value in plan.environment.items() if name.startswith("MINIO_")}
    assert variables.pop("MINIO_ROOT_USER").startswith("AKIA")
    assert variables == {
        "MINIO_ROOT_PASSWORD": "hush",
        "MINIO_SITE_REGION": "eu-central-1",
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "MINIO_CI_CD": "1",
        "MINIO_COMPRESSION_ENABLE": "true",
    }


def test_the_forms_of_its_details(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"scheme": "https", "host": "s3.example.com", "port": 443, "access_key": "a", "secret_key": "hush"}
    monkeypatch.setenv("SERVICECTX_EXTERNAL_WAIT", "0")
    monkeypatch.setenv("SERVICECTX_S3_DETAILS", json.dumps({**fields, "region": "eu-central-1"}))
    with managed("s3") as details:
        assert details.url == details.endpoint_url == "https://s3.example.com:443"
        assert details.boto3 == {
            "endpoint_url": "https://s3.example.com:443",
            "aws_access_key_id": "a",
            "aws_secret_access_key": "hush",
            "region_name": "eu-central-1",
        }
        assert details.env()["AWS_ENDPOINT_URL"] == details.url
        assert "S3_BUCKET" not in details.env()
        assert details.model_copy(update={"bucket": "mine"}).env() == details.env() | {"S3_BUCKET": "mine"}
        assert "hush" not in repr(details)
