"""Stand-ins for AWS and the real worker: dev/standins/run.sh starts the first, the tests the second."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import pytest

SQS = os.environ.get("PREDCACHE_TEST_SQS_ENDPOINT", "")
DYNAMODB = os.environ.get("PREDCACHE_TEST_DYNAMODB_ENDPOINT", "")
WORKER = os.environ.get("PREDCACHE_WORKER", "")
REQUIRED = os.environ.get("PREDCACHE_REQUIRE_STANDINS") == "1"
SESSION = botocore.session.get_session()

_numbers = itertools.count(1)


def needs(*settings: str) -> pytest.MarkDecorator:
    """Skip where there are no stand-ins, unless they are required."""
    missing = not all(settings)
    assert not (missing and REQUIRED), "no stand-ins, or no worker: run `make test-python`"
    return pytest.mark.skipif(missing, reason="no stand-ins: run `make test-python`")


def dynamodb() -> Any:
    return SESSION.create_client("dynamodb", endpoint_url=DYNAMODB)


def sqs() -> Any:
    return SESSION.create_client("sqs", endpoint_url=SQS)


def create_table(kind: str, hash_type: str = "S") -> str:
    """Create a table of a layout, with the default names, and return its name."""
    name = f"py-{os.getpid()}-{next(_numbers)}"
    attributes = [{"AttributeName": "predictionId", "AttributeType": hash_type}]
    keys = [{"AttributeName": "predictionId", "KeyType": "HASH"}]
    if kind != "latest-only":
        attributes.append({"AttributeName": "timestamp", "AttributeType": "N"})
        keys.append({"AttributeName": "timestamp", "KeyType": "RANGE"})
    client = dynamodb()
    client.create_table(
        TableName=name, AttributeDefinitions=attributes, KeySchema=keys, BillingMode="PAY_PER_REQUEST"
    )
    ttl = "timestamp" if kind == "expiry-sorted" else "expiresAt"
    client.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": ttl}
    )
    return name


def put(
    table: str, kind: str, id_: str | int, payload: str, created: float, expires: int, per_second: int = 1
) -> None:
    """Put an item as the worker writes it: ``payload`` is JSON text."""
    item = {
        "predictionId": {"S": id_} if isinstance(id_, str) else {"N": str(id_)},
        "createdAt": {"N": repr(created)},
        "prediction": {"S": payload},
    }
    if kind == "expiry-sorted":
        item["timestamp"] = {"N": str(expires)}
    else:
        item["timestamp"] = {"N": str(int(created * per_second))}
        item["expiresAt"] = {"N": str(expires)}
    dynamodb().put_item(TableName=table, Item=item)


def create_queue() -> str:
    name = f"py-{os.getpid()}-{next(_numbers)}"
    # A short visibility timeout: see dev/standins.
    url: str = sqs().create_queue(QueueName=name, Attributes={"VisibilityTimeout": "5"})["QueueUrl"]
    return url


@contextmanager
def worker(queue: str, table: str, log: Path, **settings: str) -> Iterator[None]:
    """Run the worker, and end it by SIGTERM."""
    environment = {
        **os.environ,
        "WORKER_QUEUE_URL": queue,
        "WORKER_TABLE_NAME": table,
        "WORKER_HTTP_ADDR": "127.0.0.1:0",
        "WORKER_ADMIN_ADDR": "127.0.0.1:0",
        "WORKER_RECEIVE_WAIT": "1s",  # SIGTERM lets the receive under way end
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL_SQS": SQS,
        "AWS_ENDPOINT_URL_DYNAMODB": DYNAMODB,
        **settings,
    }
    with log.open("wb") as out:
        process = subprocess.Popen([WORKER, "run"], env=environment, stdout=out, stderr=out)
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        try:
            status = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
    assert status == 0, log.read_text()


def eventually(holds: Callable[[], bool], log: Path, seconds: float = 60) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.05)  # nothing tells us: the table has to be asked


def alive(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
