"""Measures the package beside boto3: CPU of this process for the same work, paired in one run.

    make bench-python

Each pair is run in turns, so that what else this machine does meets both alike; the median of the turns' ratios is
shown. The endpoint is in a process of its own, on loopback. Figures are of this process's CPU, not of time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for name in list(os.environ):
    if name.startswith("AWS_"):
        del os.environ[name]
os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION="eu-west-1",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
)

import aiohttp  # noqa: E402
import boto3  # noqa: E402
from botocore.auth import SigV4Auth  # noqa: E402
from botocore.awsrequest import AWSRequest  # noqa: E402

import predcache  # noqa: E402
from predcache import (  # noqa: E402
    Cache,
    Front,
    Publisher,
    _json,
    aio,
)

sys.path.insert(0, str(Path(__file__).parent))
from server import PAYLOAD, item  # noqa: E402

HERE = Path(__file__).parent
ORJSON = _json.orjson
ROWS: list[tuple[str, str, str, str]] = []
IDS = [f"user-{i}" for i in range(100)]


def cpu(work: Callable[[], Any], repeat: int) -> float:
    """The CPU of one call in microseconds."""
    start = time.process_time()
    for _ in range(repeat):
        work()
    return (time.process_time() - start) / repeat * 1e6


def paired(
    name: str, target: str, theirs: Callable[[], Any], ours: Callable[[], Any], repeat: int, per: int = 1
) -> None:
    """Measure both in turns, with and without orjson."""
    for library, module in (("orjson", ORJSON), ("json", None)):
        _json.orjson = module
        theirs(), ours()
        ratios, a, b = [], [], []
        for _ in range(TURNS):
            a.append(cpu(theirs, repeat) / per)
            b.append(cpu(ours, repeat) / per)
            ratios.append(b[-1] / a[-1])
        show(
            f"{name}, {library}",
            f"{statistics.median(a):.1f} us",
            f"{statistics.median(b):.1f} us",
            f"{statistics.median(ratios):.2f} ({target})",
        )
    _json.orjson = ORJSON


def show(name: str, theirs: str, ours: str, ratio: str) -> None:
    ROWS.append((name, theirs, ours, ratio))
    print(f"{name:52} {theirs:>12} {ours:>12}  {ratio}", flush=True)


def reads(url: str) -> None:
    table = boto3.resource("dynamodb", endpoint_url=url).Table("predictions")
    client = boto3.resource("dynamodb", endpoint_url=url)
    keys = [{"predictionId": id_} for id_ in IDS]
    with Cache("predictions", endpoint_url=url, layout="latest-only") as cache:
        paired(
            "get, beside Table.get_item",
            "0.45",
            lambda: table.get_item(Key={"predictionId": "user-1"}),
            lambda: cache.get("user-1"),
            300,
        )
        paired(
            "get and decode, beside get_item and json.loads",
            "-",
            lambda: json.loads(table.get_item(Key={"predictionId": "user-1"})["Item"]["prediction"]),
            lambda: cache.get("user-1").payload,  # type: ignore[union-attr]
            300,
        )
        paired(
            "get_many(100), beside batch_get_item",
            "0.30",
            lambda: client.batch_get_item(RequestItems={"predictions": {"Keys": keys}}),
            lambda: cache.get_many(IDS),
            20,
        )
    with Cache("predictions", endpoint_url=url, layout="versioned") as cache:
        from boto3.dynamodb.conditions import Attr, Key

        paired(
            "get, versioned, beside Table.query",
            "-",
            lambda: table.query(
                KeyConditionExpression=Key("predictionId").eq("user-1"),
                FilterExpression=Attr("expiresAt").gt(int(time.time())),
                ScanIndexForward=False,
                Limit=1,
            ),
            lambda: cache.get("user-1"),
            300,
        )
    with Cache("predictions", endpoint_url=url, layout="latest-only", front=Front(max_age=3600)) as cache:
        cache.get("user-1")
        hits = [cpu(lambda: cache.get("user-1"), 50_000) for _ in range(TURNS)]
        show("front hit", "", f"{statistics.median(hits):.2f} us", "(2 us)")


def publishing(url: str) -> None:
    count = 100_000 if not QUICK else 10_000
    queue = "http://127.0.0.1/q"
    sqs = boto3.client("sqs", endpoint_url=url)
    sample = min(count, 5_000)

    def theirs() -> None:
        for start in range(0, sample, 10):
            entries = [
                {
                    "Id": str(i),
                    "MessageBody": json.dumps(
                        {
                            "predictionId": f"user-{i}",
                            "timestamp": time.time(),
                            "prediction": PAYLOAD,
                            "model": "digits",
                        }
                    ),
                }
                for i in range(start, start + 10)
            ]
            sqs.send_message_batch(QueueUrl=queue, Entries=entries)

    for library, module, target in (("orjson", ORJSON, "0.15"), ("json", None, "0.40")):
        _json.orjson = module
        ratios, a, b = [], [], []
        calls = billed = 0
        for _ in range(3):
            a.append(cpu(theirs, 1) / sample)
            publisher = Publisher(queue, endpoint_url=url)

            def ours(publisher: Publisher = publisher) -> None:
                for i in range(count):
                    publisher.publish(f"user-{i}", PAYLOAD, model="digits")
                publisher.flush()

            b.append(cpu(ours, 1) / count)
            ratios.append(b[-1] / a[-1])
            stats = publisher.stats()
            assert stats.predictions == count
            calls, billed = stats.calls, stats.messages
            publisher.close()
        show(
            f"publish {count:,} packed, {library}",
            f"{statistics.median(a):.1f} us",
            f"{statistics.median(b):.1f} us",
            f"{statistics.median(ratios):.2f} ({target})",
        )
        show(
            "  SQS calls and billed requests a prediction",
            "",
            f"{calls / count:.4f}",
            f"{billed / count:.4f} (0.02)",
        )
    _json.orjson = ORJSON


def asynchronous(url: str) -> None:
    try:
        import aioboto3
    except ImportError:
        aioboto3 = None  # it pins botocore, so it has an environment of its own
    count = 300
    body = b'{"TableName":"predictions","Key":{"predictionId":{"S":"user-1"}}}'
    headers = {"X-Amz-Target": "DynamoDB_20120810.GetItem", "Content-Type": "application/x-amz-json-1.0"}
    credentials = boto3.Session().get_credentials()

    async def measure(work: Callable[[], Any]) -> float:
        await work()
        start = time.process_time()
        for _ in range(count):
            await work()
        return (time.process_time() - start) / count * 1e6

    async def compare(name: str, target: str, other: Callable[[], Any], ours: Callable[[], Any]) -> None:
        for library, module in (("orjson", ORJSON), ("json", None)):
            _json.orjson = module
            a, b = [], []
            for _ in range(TURNS):
                a.append(await measure(other))
                b.append(await measure(ours))
            ratio = statistics.median(y / x for x, y in zip(a, b, strict=True))
            show(
                f"{name}, {library}",
                f"{statistics.median(a):.1f} us",
                f"{statistics.median(b):.1f} us",
                f"{ratio:.2f} ({target})",
            )
        _json.orjson = ORJSON

    async def main() -> None:
        async with (
            aio.Cache("predictions", endpoint_url=url, layout="latest-only") as cache,
            aiohttp.ClientSession() as raw,
        ):

            async def by_hand() -> Any:
                request = AWSRequest("POST", url, data=body, headers=headers)
                SigV4Auth(credentials, "dynamodb", "eu-west-1").add_auth(request)
                async with raw.post(url, data=body, headers=dict(request.headers.items())) as r:
                    return json.loads(await r.read())

            await compare(
                "async get, beside aiohttp signed by botocore", "1.3", by_hand, lambda: cache.get("user-1")
            )
            if aioboto3 is not None:
                async with aioboto3.Session().resource("dynamodb", endpoint_url=url) as resource:
                    table = await resource.Table("predictions")
                    await compare(
                        "async get, beside aioboto3",
                        "0.5",
                        lambda: table.get_item(Key={"predictionId": "user-1"}),
                        lambda: cache.get("user-1"),
                    )

    asyncio.run(main())


def imports() -> None:
    def took(module: str) -> float:
        code = f"import time; s = time.process_time(); import {module}; print(time.process_time() - s)"
        return float(
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        )

    took("predcache"), took("botocore.session")  # compiled once
    ratios = [took("predcache") / took("botocore.session") for _ in range(TURNS)]
    show("import predcache, beside botocore.session", "", "", f"{statistics.median(ratios):.2f} (1.3)")


def main() -> None:
    server = subprocess.Popen([sys.executable, str(HERE / "server.py")], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/"
        print(
            f"predcache {predcache.__version__}, Python {platform.python_version()}, boto3 {boto3.__version__}, item of {len(json.dumps(item('user-1')))} bytes\n"
        )
        print(f"{'CPU of one':52} {'theirs':>12} {'ours':>12}  ratio (target)")
        for part in (reads, publishing, asynchronous):
            part(url)
        imports()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    QUICK = parser.parse_args().quick
    TURNS = 3 if QUICK else 7
    main()
