"""asyncio: the same results, an event loop that isn't blocked, and cancellation that loses nothing."""

from __future__ import annotations

import asyncio
import datetime
import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

import botocore.session
import pytest
import world
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from fake import Answer, FakeAWS, error

from predcache import (
    ClosedError,
    ConfigurationError,
    Failure,
    Front,
    InvalidPredictionError,
    NetworkError,
    PartialError,
    PublishError,
    ServiceError,
)
from predcache.aio import Cache, Publisher

SESSION = botocore.session.get_session()


@pytest.fixture
def cache(aws: FakeAWS) -> Callable[..., Cache]:
    return lambda **options: Cache("predictions", endpoint_url=aws.url, session=SESSION, **options)


@pytest.fixture
def publisher(aws: FakeAWS) -> Callable[..., Publisher]:
    return lambda **options: Publisher(
        "http://queue.invalid/q", endpoint_url=aws.url, session=SESSION, **options
    )


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def strict() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: unhandled.append(context))
        return await main

    unhandled: list[Any] = []
    result = asyncio.run(strict())
    assert not unhandled
    return result


async def until(holds: Callable[[], bool]) -> None:
    """Let others run until something holds, which they bring about."""
    while not holds():
        await asyncio.sleep(0)


def test_reads(aws: FakeAWS, cache: Callable[..., Cache]) -> None:
    for i in range(250):
        aws.put(f"user-{i}", i)

    async def main() -> None:
        async with cache() as c:
            prediction = await c.get("user-7")
            assert prediction is not None
            assert prediction.payload == 7
            assert await c.get("nobody") is None
            found = await c.get_many([*(f"user-{i}" for i in range(250)), "nobody"])
            assert [p and p.payload for p in found.values()] == [*range(250), None]
            assert [p.payload async for p in c.history("user-3")] == [3]
            assert (await c.layout()).kind == "latest-only"
            assert await c.get_many([]) == {}
            with pytest.raises(InvalidPredictionError):
                await c.get("")
        with pytest.raises(ClosedError):
            await c.get("user-7")

    run(main())
    assert aws.count("DescribeTable") == 1


def test_many_callers_find_the_layout_once(aws: FakeAWS, cache: Callable[..., Cache]) -> None:
    async def main() -> None:
        c = cache()
        assert await asyncio.gather(*(c.get(str(i)) for i in range(50))) == [None] * 50
        await c.close()

    run(main())
    assert aws.count("DescribeTable") == 1
    assert aws.count("GetItem") == 50


def test_a_front_asks_once(aws: FakeAWS, cache: Callable[..., Cache]) -> None:
    aws.put("a", 1)

    async def main() -> None:
        async with cache(front=Front()) as c:
            found = await asyncio.gather(*(c.get("a") for _ in range(100)))
            assert len({id(p) for p in found}) == 1
            assert (await c.get_many(["a"]))["a"] is found[0]

    run(main())
    assert aws.count("GetItem") == 1


def test_retries_errors_and_lost_answers(
    aws: FakeAWS, cache: Callable[..., Cache], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *a: 0.0)
    aws.put("a", 1)

    async def main() -> None:
        async with cache(layout="latest-only") as c:
            answers = iter([error("ThrottlingException"), Answer(None), None])
            aws.script = lambda operation, body: next(answers)
            assert await c.get("a") is not None
            assert aws.count("GetItem") == 3
            aws.script = lambda operation, body: error("AccessDeniedException")
            with pytest.raises(ServiceError, match="policy"):
                await c.get("a")
        options = {"layout": "versioned", "concurrency": 4}
        async with cache(**options) as c:
            before = aws.count("Query")
            with pytest.raises(PartialError, match="2000 of 2000"):
                await c.get_many([str(i) for i in range(2000)])
            assert aws.count("Query") - before <= 8
        refused = Cache("t", layout="latest-only", endpoint_url="http://127.0.0.1:9", session=SESSION)
        with pytest.raises(NetworkError, match="127.0.0.1:9"):
            await refused.get("a")
        await refused.close()

    run(main())


def test_a_computation_runs_once(
    aws: FakeAWS, cache: Callable[..., Cache], publisher: Callable[..., Publisher]
) -> None:
    computed = []

    async def compute() -> dict[str, Any]:
        computed.append(threading.get_ident())
        await asyncio.sleep(0)
        return {"score": Decimal("0.10")}

    def blocking() -> int:
        computed.append(threading.get_ident())
        return 7

    async def main() -> None:
        async with publisher() as p, cache(publisher=p) as c:
            found = await asyncio.gather(*(c.get_or_compute("a", compute, model="m") for _ in range(500)))
            assert len({id(f) for f in found}) == 1
            assert await c.get_or_compute("a", compute) is found[0]
            assert (await c.get_or_compute("b", blocking)).payload == 7
            with pytest.raises(RuntimeError, match="asks for 'c' itself"):
                await c.get_or_compute("c", lambda: c.get_or_compute("c", blocking))
            with pytest.raises(LookupError):
                await c.get_or_compute("d", _fails)
            with pytest.raises(InvalidPredictionError):
                await c.get_or_compute("e", lambda: float("nan"))

    run(main())
    assert len(computed) == 2
    assert computed[0] == threading.get_ident() != computed[1]
    assert sorted((p["predictionId"], str(p["prediction"])) for p in aws.predictions()) == [
        ("a", "{'score': 0.1}"),
        ("b", "7"),
    ]


async def _fails() -> None:
    raise LookupError


def test_cancelling_one_caller_leaves_the_others(
    aws: FakeAWS, cache: Callable[..., Cache], publisher: Callable[..., Publisher]
) -> None:
    async def main() -> None:
        go = asyncio.Event()
        started = asyncio.Event()

        async def compute() -> int:
            started.set()
            await go.wait()
            return 7

        async with publisher() as p, cache(publisher=p, front=Front()) as c:
            first = asyncio.ensure_future(c.get_or_compute("a", compute))
            await started.wait()
            second = asyncio.ensure_future(c.get_or_compute("a", compute))
            await asyncio.sleep(0)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            go.set()
            assert (await second).payload == 7
            # A computation that nobody waits for any more is remembered all the same.
            started.clear()
            go.clear()
            alone = asyncio.ensure_future(c.get_or_compute("b", compute))
            await started.wait()
            alone.cancel()
            go.set()
            assert (await c.get_or_compute("b", _fails)).payload == 7

    run(main())
    assert sorted(p["predictionId"] for p in aws.predictions()) == ["a", "b"]


def test_a_read_that_is_cancelled_frees_its_connection(aws: FakeAWS, cache: Callable[..., Cache]) -> None:
    aws.put("a", 1)
    go = threading.Event()
    aws.script = lambda operation, body: go.wait(30) and None

    async def main() -> None:
        async with cache(layout="latest-only", config=Config(max_pool_connections=1)) as c:
            for call in (c.get("a"), c.get_many(["a", "b"])):
                task = asyncio.ensure_future(call)
                await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            go.set()
            assert await c.get("a") is not None

    run(main())


# The Publisher.


def test_publishes(aws: FakeAWS, publisher: Callable[..., Publisher]) -> None:
    async def main() -> None:
        async with publisher(linger=60) as p:
            for i in range(2000):
                await p.publish(f"user-{i}", {"text": "x" * 900})
            await p.publish_json('{"predictionId":"raw","prediction":0.10}')
            assert await p.publish_many((f"many-{i}", i) for i in range(300)) == 300
            with pytest.raises(InvalidPredictionError):
                await p.publish("a", float("nan"))
            await p.flush()
            assert p.stats().waiting == 0
        await p.close()
        with pytest.raises(ClosedError):
            await p.publish("a", 1)

    run(main())
    assert len(aws.predictions()) == 2301
    assert aws.count("SendMessageBatch") <= 12


def test_what_is_lingering_is_sent_by_itself(aws: FakeAWS, publisher: Callable[..., Publisher]) -> None:
    async def main() -> None:
        p = publisher(linger=0.01)
        await p.publish("a", 1)
        await asyncio.wait_for(until(lambda: p.stats().predictions == 1), 30)
        await p.close()

    run(main())


def test_what_fails(aws: FakeAWS, publisher: Callable[..., Publisher]) -> None:
    def script(operation: str, body: dict[str, Any]) -> Answer | None:
        if any("bad" in e["MessageBody"] for e in body["Entries"]):
            return error("InvalidMessageContents")
        if aws.count(operation) % 2:
            return error("ServiceUnavailable", 503)
        return None

    aws.script = script
    lost: list[Failure] = []

    async def main() -> None:
        async with publisher(pack=False, on_failure=lost.append, attempts=20) as p:
            await p.publish_many((f"user-{i}", "bad" if i == 7 else i) for i in range(30))
        aws.script = lambda operation, body: error("ServiceUnavailable", 503)
        p = publisher(attempts=1)
        await p.publish("a", 1)
        with pytest.raises(PublishError, match="1 prediction "):
            await p.flush()
        await p.close()
        p = publisher(attempts=1000, linger=0)
        await p.publish("a", 1)
        with pytest.raises(TimeoutError):
            await p.flush(0.01)
        with pytest.raises(PublishError, match="closed"):
            await p.close(0.01)

    run(main())
    assert [json.loads(f.body)["predictionId"] for f in lost] == ["user-7"]
    assert sorted(p["prediction"] for p in aws.predictions()) == [i for i in range(30) if i != 7]


def test_a_full_buffer_holds_the_caller(aws: FakeAWS, publisher: Callable[..., Publisher]) -> None:
    go = threading.Event()
    aws.script = lambda operation, body: go.wait(30) and None

    async def main() -> None:
        async with publisher(buffer=1, linger=60) as p:
            for i in range(5):
                await p.publish(str(i), "x" * 390_000)
            waiting = asyncio.ensure_future(p.publish("5", "x" * 390_000))
            cancelled = asyncio.ensure_future(p.publish("6", "x" * 390_000))
            await asyncio.sleep(0)
            assert not waiting.done()
            cancelled.cancel()
            go.set()
            await waiting

    run(main())
    assert sorted(p["predictionId"] for p in aws.predictions()) == list("012345")


_EXIT = """
import asyncio, sys
from predcache import _json
from predcache.aio import Publisher
if sys.argv[2] == "json":
    _json.orjson = None
async def main():
    publisher = Publisher("http://queue.invalid/q", endpoint_url=sys.argv[1], linger={linger})
    await publisher.publish("a", 1)
    {then}
    await publisher.publish("b", 2)
asyncio.run(main())
"""


@pytest.mark.parametrize("linger", [60, 0])
@pytest.mark.parametrize("then", ["await asyncio.sleep(0)", "await publisher._service.open()"])
def test_exit_without_close(aws: FakeAWS, json_library: str, linger: int, then: str) -> None:
    code = _EXIT.format(linger=linger, then=then)
    done = subprocess.run(
        [sys.executable, "-c", code, aws.url, json_library],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # A call that the end of the loop has broken off may have arrived: then its message is sent twice.
    assert {p["predictionId"] for p in aws.predictions()} == {"a", "b"}, done.stderr


# The event loop.


class _Slow:
    """A session whose credentials take their time to be renewed."""

    def __init__(self) -> None:
        self.renewed_in: list[int] = []
        self._session = botocore.session.get_session()
        end = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
        self.credentials = RefreshableCredentials("key", "secret", "token", end, self.renew, "test")

    def renew(self) -> dict[str, str]:
        self.renewed_in.append(threading.get_ident())
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
        return {"access_key": "k", "secret_key": "s", "token": "t", "expiry_time": end.isoformat()}

    def get_credentials(self) -> RefreshableCredentials:
        return self.credentials


def test_credentials_are_renewed_in_a_thread(aws: FakeAWS) -> None:
    session = _Slow()

    async def main() -> None:
        async with Cache("t", layout="latest-only", endpoint_url=aws.url, session=session) as c:
            await c.get("a")
            assert len(session.renewed_in) == 1
            end = datetime.datetime.now(datetime.timezone.utc)
            session.credentials._expiry_time = end + datetime.timedelta(minutes=15, seconds=10)
            await asyncio.gather(*(c.get(str(i)) for i in range(20)))
            assert len(session.renewed_in) == 1, "renewed before botocore's time"
            session.credentials._expiry_time = end
            await asyncio.gather(*(c.get(str(i)) for i in range(20)))

    run(main())
    assert len(session.renewed_in) == 2
    assert threading.get_ident() not in session.renewed_in


def test_without_credentials_or_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")

    async def main() -> None:
        with pytest.raises(ConfigurationError, match="no AWS credentials"):
            async with Cache("t"):
                pass
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        with pytest.raises(ConfigurationError, match="AWS_REGION"):
            await Cache("t").get("a")

    run(main())


def test_the_event_loop_is_not_blocked_for_5_ms(
    aws: FakeAWS,
    cache: Callable[..., Cache],
    publisher: Callable[..., Publisher],
    monkeypatch: pytest.MonkeyPatch,
    json_library: str,
) -> None:
    """By the CPU time of each callback, which doesn't depend on what else this machine does."""
    longest = 0.0
    real = asyncio.events.Handle._run

    def timed(handle: Any) -> Any:
        nonlocal longest
        start = time.thread_time()
        try:
            return real(handle)
        finally:
            longest = max(longest, time.thread_time() - start)

    vector = [i / 7 for i in range(48)]
    for i in range(1000):
        aws.put(f"user-{i}", {"scores": vector})
    for i in range(100):
        aws.put(f"large-{i}", "x" * 30_000)

    async def main() -> None:
        async with publisher() as p, cache(publisher=p, front=Front()) as c:
            await c.get("user-0")
            await c.get("large-0")
            monkeypatch.setattr(asyncio.events.Handle, "_run", timed)
            await asyncio.gather(*(c.get(f"user-{i}") for i in range(100)))
            await c.get_many([f"user-{i}" for i in range(1000)])
            await c.get_many([f"large-{i}" for i in range(100)])
            await p.publish_many((f"user-{i}", vector) for i in range(3000))
            await asyncio.gather(*(c.get_or_compute(f"new-{i}", lambda: vector) for i in range(50)))

    gc.collect()
    gc.disable()  # a collection walks through all that the tests have in memory
    try:
        run(main())
    finally:
        gc.enable()
    assert longest < 0.005, f"the event loop was blocked for {longest * 1000:.1f} ms"


# Against stand-ins.


@world.needs(world.SQS, world.DYNAMODB)
@pytest.mark.parametrize("kind", ["versioned", "expiry-sorted", "latest-only"])
def test_stand_ins(kind: str) -> None:
    table, queue = world.create_table(kind), world.create_queue()
    now = int(time.time())
    for i in range(40):
        world.put(table, kind, f"user-{i}", str(i), now - 10, now + 600)
        if kind != "latest-only":
            world.put(table, kind, f"user-{i}", '"old"', now - 20, now + 900)

    async def main() -> None:
        async with Cache(table, endpoint_url=world.DYNAMODB, session=world.SESSION) as c:
            found = await c.get_many([f"user-{i}" for i in range(41)])
            assert [p and p.payload for p in found.values()] == [*range(40), None]
            want = ["old", 7] if kind != "latest-only" else [7]
            assert [p.payload async for p in c.history("user-7", oldest_first=True)] == want
            assert [p.payload async for p in c.history("user-7", since=now - 15)] == [7]
        async with Publisher(queue, endpoint_url=world.SQS, session=world.SESSION) as p:
            await p.publish("a", {"digits": Decimal("0.12345678901234567890")})

    run(main())
    messages = world.sqs().receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    assert "0.12345678901234567890" in messages[0]["Body"]
