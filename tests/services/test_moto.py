"""A real moto server, with boto3."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from servicectx import InvalidOption, MotoDetails, StartFailed, isolated, managed
from tests import servers
from tests.services import killed
from tests.services.row import ODD_PASSWORD, Login, Row

KEYS = {"access_key": "test", "secret_key": ODD_PASSWORD}
ROWS = [
    Row(
        "moto",
        volatile="in memory",
        logins=(Login("keys", KEYS, KEYS),),  # no key is refused
        not_possible=(({"secret_key": None}, "clients sign every request"),),
    ),
]


def test_chosen_buckets_are_there_before_the_set_up() -> None:
    def fill(details: MotoDetails) -> None:
        with connected(details) as s3:
            s3.put_object(Bucket="photos", Key="a", Body=b"1")

    chosen = managed("moto", access_key="test", secret_key="test", buckets=["photos", "texts"], setup=fill)
    with chosen as details, connected(details) as s3:
        assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["photos", "texts"]
        assert s3.get_object(Bucket="photos", Key="a")["Body"].read() == b"1"
    with pytest.raises(InvalidOption, match="not the name of a bucket"):
        managed("moto", buckets=["A"]).__enter__()


@contextmanager
def connected(details: MotoDetails, service: str = "s3") -> Iterator[Any]:
    connection = boto3.client(service, **details.boto3)
    try:
        yield connection
    finally:
        connection.close()


def put(details: MotoDetails, name: str, value: str) -> None:
    with connected(details) as s3:
        s3.create_bucket(Bucket="texts")
        s3.put_object(Bucket="texts", Key=name, Body=value.encode())


def get(details: MotoDetails, name: str) -> str | None:
    with connected(details) as s3:
        try:
            found: bytes = s3.get_object(Bucket="texts", Key=name)["Body"].read()
        except (s3.exceptions.NoSuchBucket, s3.exceptions.NoSuchKey):
            return None
        return found.decode()


def accounts(details: MotoDetails) -> dict[str, str]:
    with urllib.request.urlopen(f"{details.url}/moto-api/accounts/") as answer:
        found: dict[str, str] = json.load(answer)
        return found


def test_s3() -> None:
    with managed("moto") as moto, connected(moto) as s3:
        put(moto, "a/ä", "green")
        assert get(moto, "a/ä") == "green"
        url = s3.generate_presigned_url("get_object", {"Bucket": "texts", "Key": "a/ä"})
        assert urllib.request.urlopen(url).read() == b"green"
        (found,) = s3.list_objects_v2(Bucket="texts")["Contents"]
        assert found["Key"] == "a/ä"


def test_sqs() -> None:
    with managed("moto") as moto, connected(moto, "sqs") as sqs:
        queue = sqs.create_queue(QueueName="orders")["QueueUrl"]
        assert queue.startswith(moto.url)
        sqs.send_message(QueueUrl=queue, MessageBody="a chair")
        (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
        assert message["Body"] == "a chair"


def test_dynamodb() -> None:
    with managed("moto") as moto, connected(moto, "dynamodb") as dynamodb:
        dynamodb.create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        dynamodb.put_item(TableName="orders", Item={"id": {"S": "1"}, "what": {"S": "a chair"}})
        found = dynamodb.get_item(TableName="orders", Key={"id": {"S": "1"}})
        assert found["Item"]["what"] == {"S": "a chair"}


def test_the_environment_is_enough_for_clients() -> None:
    script = "import boto3; print(boto3.client('s3').create_bucket(Bucket='made')['Location'])"
    with managed("moto") as moto:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        result = subprocess.run(
            [sys.executable, "-c", script], env=plain | moto.env(), capture_output=True, text=True, check=True
        )
        with connected(moto) as s3:
            assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["made"]
    assert result.stdout == "/made\n"


def test_aws_is_another_word_for_it() -> None:
    with managed("aws") as moto:
        assert (moto.service, moto.name) == ("moto", "moto")


def test_the_version_is_told() -> None:
    with managed("moto") as moto:
        assert moto.version == version("moto")


def test_each_instance_has_keys_of_its_own() -> None:
    with managed("moto", name="a") as first, managed("moto", name="b") as second:
        assert first.access_key != second.access_key
        assert first.secret_key != second.secret_key
        assert len(first.access_key) == 20


def test_the_region_is_in_the_details() -> None:
    with managed("moto", region="eu-central-1") as moto, connected(moto, "sqs") as sqs:
        queue = sqs.create_queue(QueueName="orders")["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
        assert attributes["QueueArn"] == f"arn:aws:sqs:eu-central-1:{moto.account}:orders"


def test_the_caller_s_own_settings_do_not_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "999999999999")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with managed("moto") as moto, connected(moto, "sts") as sts:
        assert sts.get_caller_identity()["Account"] == moto.account
        assert not [name for name in servers.environment(servers.owner(moto.port)) if name.startswith("AWS_")]


def test_settings_reach_it() -> None:
    with managed("moto", settings={"MOTO_S3_DEFAULT_MAX_KEYS": 1}) as moto, connected(moto) as s3:
        put(moto, "a", "1")
        put(moto, "b", "2")
        assert s3.list_objects_v2(Bucket="texts")["KeyCount"] == 1


def test_a_bad_setting_fails_with_its_own_words() -> None:
    with pytest.raises(StartFailed) as caught, managed("moto", settings={"MOTO_ACM_VALIDATION_WAIT": "soon"}):
        pass
    assert caught.value.exit_status == 1
    assert "invalid literal for int() with base 10: 'soon'" in str(caught.value.log_tail)


@pytest.mark.parametrize("ours", ["MOTO_ACCOUNT_ID", "MOTO_PORT"])
def test_settings_that_would_lead_elsewhere_are_refused(ours: str) -> None:
    with pytest.raises(InvalidOption, match="set by servicectx"), managed("moto", settings={ours: 1}):
        pass


def test_accounts_have_buckets_queues_and_tables_of_their_own() -> None:
    with managed("moto") as moto, isolated(moto) as one, isolated(moto) as two:
        for details in (moto, one, two):
            with connected(details, "sts") as sts, connected(details, "sqs") as sqs, connected(details) as s3:
                assert sts.get_caller_identity()["Account"] == details.account
                queue = sqs.create_queue(QueueName="orders")["QueueUrl"]
                assert details.account in queue
                s3.create_bucket(Bucket="same", ACL="public-read")
                s3.put_object(Bucket="same", Key="a", Body=details.account.encode())
        for details in (moto, one, two):
            with connected(details) as s3:
                url = s3.generate_presigned_url("get_object", {"Bucket": "same", "Key": "a"})
                assert urllib.request.urlopen(url).read().decode() == details.account
        assert len({moto.account, one.account, two.account}) == 3


def test_another_account_s_bucket_is_not_there() -> None:
    with managed("moto") as moto, isolated(moto) as one, isolated(moto) as two:
        put(one, "a", "1")
        for details in (moto, two):
            with connected(details) as s3, pytest.raises(ClientError, match="NoSuchBucket"):
                s3.get_object(Bucket="texts", Key="a")


def test_what_is_in_an_account_goes_with_it() -> None:
    with managed("moto") as moto:
        with isolated(moto) as one:
            put(one, "a", "1")
            assert list(accounts(moto)) == [one.account]
        assert accounts(moto) == {}
        assert get(one, "a") is None  # its key is unknown now, which selects the shared account


def test_what_a_killed_user_left_is_forgotten_by_the_next() -> None:
    with managed("moto") as moto:
        killed.in_a_namespace(moto)
        (left,) = accounts(moto)
        with isolated(moto) as mine:
            assert list(accounts(moto)) == [mine.account] != [left]


def test_details_from_outside_give_accounts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Details of a moto server that servicectx did not start."""
    command = [sys.executable, "-m", "moto.server", "-H", "{host}", "-p", "{port}"]
    with managed("command", command=command, ready="http://{host}:{port}/moto-api/data.json") as theirs:
        monkeypatch.setenv("TEST_MOTO_DETAILS", json.dumps({"hostname": theirs.host, "port": theirs.port}))
        with managed("moto") as moto:
            assert moto.external
            assert moto.account == "123456789012"
            with isolated(moto) as mine:
                put(mine, "a", "1")
                with connected(moto) as s3:
                    assert s3.list_buckets()["Buckets"] == []


def test_the_forms_of_its_details() -> None:
    moto = MotoDetails(service="moto", name="moto", host="localhost", port=5000)
    assert moto.url == moto.endpoint_url == "http://localhost:5000"
    assert moto.env() == {
        "AWS_ENDPOINT_URL": "http://localhost:5000",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
    }
    assert "secret_key='***'" in repr(moto)
