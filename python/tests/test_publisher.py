"""The Publisher: what it sends, what it sends again, and that it loses nothing."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import math
import os
import threading
import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import botocore.session
import numpy as np
import pydantic
import pytest
from fake import Answer, FakeAWS, error

from predcache import (
    BufferFullError,
    ClosedError,
    ConfigurationError,
    Failure,
    InvalidPredictionError,
    Layout,
    PredcacheError,
    Publisher,
    PublishError,
    Rules,
    _json,
)

SESSION = botocore.session.get_session()  # which keeps what it has loaded
UTC = datetime.timezone.utc
NOW = datetime.datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture
def make(aws: FakeAWS) -> Callable[..., Publisher]:
    def publisher(**options: Any) -> Publisher:
        return Publisher("http://queue.invalid/q", endpoint_url=aws.url, session=SESSION, **options)

    return publisher


def kept(aws: FakeAWS) -> list[Any]:
    return [(p["predictionId"], p["prediction"]) for p in aws.predictions()]


def test_a_prediction_arrives_as_the_worker_reads_it(aws: FakeAWS, make: Callable[..., Publisher]) -> None:
    with make() as publisher:
        publisher.publish("user-42", {"score": 0.93}, timestamp=NOW, ttl=60, model="churn", version=3)
        publisher.publish("user-43", None, timestamp="2026-01-31T12:00:00Z", expires_at=NOW)
        before = time.time()
        publisher.publish(uuid.UUID(int=7), [1], ttl=datetime.timedelta(minutes=1.5))
    first, second, third = aws.predictions()
    assert first == {
        "predictionId": "user-42",
        "timestamp": 1769860800250000,
        "prediction": {"score": 0.93},
        "ttlSeconds": 60,
        "model": "churn",
        "version": 3,
    }
    assert second["expiresAt"] == 1769860800
    assert third["predictionId"] == "00000000-0000-0000-0000-000000000007"
    assert abs(third["timestamp"] / 1e6 - before) < 60
    assert third["ttlSeconds"] == 90.0
    assert aws.headers[0]["X-Amz-Target"] == "AmazonSQS.SendMessageBatch"
    assert aws.calls[0][1]["QueueUrl"] == "http://queue.invalid/q"


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Result:
    label: int
    _hidden: float


class Model(pydantic.BaseModel):
    label: int
    when: datetime.datetime
    exact: Decimal


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.int64(9007199254740993), "9007199254740993"),
        (np.uint64(2**64 - 1), "18446744073709551615"),
        (2**64, "18446744073709551616"),
        (-(10**30), "-1" + "0" * 30),
        (np.float64(0.1), "0.1"),
        (np.float32(0.1), "0.1"),
        (np.bool_(True), "true"),
        (np.array([[1, 2], [3, 4]]), "[[1,2],[3,4]]"),
        (np.array([0.1, 0.25], dtype=np.float32), "[0.1,0.25]"),
        (np.array([0.1, 0.5], dtype=np.float16), "[0.099975586,0.5]"),
        (np.array([[1, 2], [3, 4]]).T, "[[1,3],[2,4]]"),
        (np.array(["a", "b"]), '["a","b"]'),
        (
            Decimal("0.1234567890123456789012345678901234567890"),
            "0.1234567890123456789012345678901234567890",
        ),
        ({"a": [Decimal("1E+2"), 10**25]}, '{"a":[1E+2,10000000000000000000000000]}'),
        (datetime.date(2026, 1, 31), '"2026-01-31"'),
        (NOW, '"2026-01-31T12:00:00.250000Z"'),
        (NOW.astimezone(datetime.timezone(datetime.timedelta(hours=5.5))), '"2026-01-31T12:00:00.250000Z"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Colour.RED, '"red"'),
        (Result(1, 0.5), '{"label":1,"_hidden":0.5}'),
        (
            Model(label=1, when=NOW, exact=Decimal("0.10")),
            '{"label":1,"when":"2026-01-31T12:00:00.250000Z","exact":0.10}',
        ),
        (
            {1: "a", np.int64(2): "b", False: "c", None: "d", 0.5: "e"},
            '{"1":"a","2":"b","false":"c","null":"d","0.5":"e"}',
        ),
        ((1, (2,)), "[1,[2]]"),
        ("é\ud83d\u2028", '"\\u00e9\\ud83d\\u2028"'),
        ({"\ud83d": "\udc00"}, '{"\\ud83d":"\\udc00"}'),
        ("\x00\n\x7f", None),
        ([[]] * 3, "[[],[],[]]"),
        ({}, "{}"),
        (None, "null"),
        ([None, 1.0], "[null,1.0]"),
        (1e400, None),
    ],
)
def test_what_ml_code_has(value: Any, text: str | None) -> None:
    if isinstance(value, float) and math.isinf(value):
        assert _json.encode(value, "prediction", "null") == b"null"
        return
    got = _json.encode(value, "prediction").decode()
    if text is None:
        assert json.loads(got) == value
    elif got != text:  # one library escapes what the other doesn't, or writes 1e2 for 1E+2
        assert json.loads(got, parse_float=Decimal) == json.loads(text, parse_float=Decimal)


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (math.nan, "prediction"),
        ({"scores": [0.5, math.inf]}, "prediction.scores[1]"),
        ({"a": {"b": np.float32("nan")}}, "prediction.a.b"),
        ([np.array([1.0, np.nan])], "prediction[0][1]"),
        (np.array([[1.0, -np.inf]], dtype=np.float32), "prediction[0][1]"),
        ([None, Decimal("NaN")], "prediction[1]"),
        ({"a": None, "b": (1, math.nan)}, "prediction.b[1]"),
        (Result(1, math.nan), "prediction._hidden"),
    ],
)
def test_nan_is_an_error_that_names_the_field(
    aws: FakeAWS, make: Callable[..., Publisher], payload: Any, field: str
) -> None:
    with make() as publisher, pytest.raises(InvalidPredictionError) as caught:
        publisher.publish("user-42", payload)
    assert (caught.value.reason, caught.value.field, caught.value.id) == ("number", field, "user-42")
    assert "user-42" in str(caught.value)
    assert not aws.calls
    with make(nan="null") as publisher:
        publisher.publish("user-42", payload)
    assert "null" in json.dumps(aws.predictions()[0]["prediction"])


@pytest.mark.parametrize(
    ("arguments", "reason", "field"),
    [
        ({"id": ""}, "key", "predictionId"),
        ({"id": "x" * 2049}, "key", "predictionId"),
        ({"id": "é" * 1025}, "key", "predictionId"),
        ({"id": "\ud83d"}, "key", "predictionId"),
        ({"id": 42}, "key", "predictionId"),
        ({"id": np.int64(42)}, "key", "predictionId"),
        ({"id": None}, "missing_field", "predictionId"),
        ({"id": True}, "field_type", "predictionId"),
        ({"id": {}}, "field_type", "predictionId"),
        ({"id": b"a"}, "field_type", "predictionId"),
        ({"timestamp": datetime.datetime(2026, 1, 31)}, "field_type", "timestamp"),
        ({"timestamp": "yesterday"}, "field_type", "timestamp"),
        ({"timestamp": True}, "field_type", "timestamp"),
        ({"timestamp": math.nan}, "number", "timestamp"),
        ({"timestamp": -1}, "field_value", "timestamp"),
        ({"timestamp": 253402300800 * 10**9}, "field_value", "timestamp"),
        ({"timestamp": lambda: time.time() + 3600}, "future", "timestamp"),
        ({"ttl": 0}, "field_value", "ttlSeconds"),
        ({"ttl": "60 s"}, "field_type", "ttlSeconds"),
        ({"timestamp": "2026-01-31 11:59:10"}, "field_type", "timestamp"),
        ({"ttl": datetime.timedelta(0)}, "field_value", "ttlSeconds"),
        ({"ttl": 60, "expires_at": NOW}, "field_value", "expiresAt"),
        ({"payload": datetime.datetime(2026, 1, 31)}, "field_type", "prediction"),
        ({"payload": np.datetime64("2026-01-31")}, "field_type", "prediction"),
        ({"payload": b"raw"}, "field_type", "prediction"),
        ({"payload": {"a": object()}}, "field_type", "prediction.a"),
        ({"payload": {(1, 2): 3}}, "field_type", "prediction"),
        ({"payload": {1, 2}}, "field_type", "prediction"),
        ({"payload": "x" * (400 << 10)}, "too_large", ""),
        ({"payload": "x" * (2 << 20)}, "too_large", ""),
        ({"payload": [0.5] * 500_000}, "too_large", ""),
        ({"createdAt": 1}, "reserved_name", "createdAt"),
        ({"encoding": "x"}, "reserved_name", "encoding"),
        ({"predcache.sent": 1}, "reserved_name", "predcache.sent"),
        ({"prediction": 1}, "reserved_name", "prediction"),
        ({"": 1}, "field_value", ""),
        ({"score": Decimal("1" * 39)}, "number", "score"),
        ({"score": 1e200}, "number", "score"),
        ({"score": math.inf}, "number", "score"),
        ({"tags": {"": 1}}, "field_value", "tags"),
        ({"text": "\ud83d"}, "field_value", "text"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_each_bad_input_is_one_error_before_anything_is_sent(
    aws: FakeAWS, make: Callable[..., Publisher], arguments: dict[str, Any], reason: str, field: str
) -> None:
    arguments = {k: v() if callable(v) else v for k, v in {"id": "a", "payload": 1, **arguments}.items()}
    with make() as publisher, pytest.raises(InvalidPredictionError) as caught:
        publisher.publish(arguments.pop("id"), arguments.pop("payload"), **arguments)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    assert len(str(caught.value)) < 400
    assert not aws.calls


def test_numeric_ids(aws: FakeAWS, make: Callable[..., Publisher]) -> None:
    with make(rules=Rules(layout=Layout.of("latest-only", numeric=True))) as publisher:
        publisher.publish(42, 1)
        publisher.publish(np.int64(43), 1)
        publisher.publish(Decimal("1.50"), 1)
        with pytest.raises(InvalidPredictionError, match="hash key is a number"):
            publisher.publish("44", 1)
        with pytest.raises(InvalidPredictionError, match="39"):
            publisher.publish(10**38 + 1, 1)
    assert [p["predictionId"] for p in aws.predictions()] == [42, 43, 1.5]


def test_packing_fills_messages_and_calls(aws: FakeAWS, make: Callable[..., Publisher]) -> None:
    payload = {"text": "x" * 900}
    with make() as publisher:
        for i in range(2000):
            publisher.publish(f"user-{i}", payload, timestamp=NOW)
    assert sorted(p["predictionId"] for p in aws.predictions()) == sorted(f"user-{i}" for i in range(2000))
    sizes = [len(body.encode()) for body in aws.queue]
    assert max(sizes) <= 64 << 10
    assert aws.count("SendMessageBatch") <= 8
    stats = publisher.stats()
    assert (stats.predictions, stats.messages, stats.failed, stats.waiting) == (2000, len(aws.queue), 0, 0)


def test_without_packing_a_prediction_is_a_message(aws: FakeAWS, make: Callable[..., Publisher]) -> None:
    with make(pack=False, calls=1, linger=60) as publisher:
        publisher.publish_many((f"user-{i}", i) for i in range(25))
    assert len(aws.queue) == 25
    assert sorted(len(body["Entries"]) for _, body in aws.calls) == [5, 10, 10]


def test_large_messages_share_a_call_up_to_its_limit(aws: FakeAWS, make: Callable[..., Publisher]) -> None:
    with make(linger=60) as publisher:
        for i in range(7):
            publisher.publish(str(i), "x" * 300_000)
    assert sorted(p["predictionId"] for p in aws.predictions()) == [str(i) for i in range(7)]
    assert max(len(body["Entries"]) for _, body in aws.calls) == 3


@pytest.mark.parametrize("pack", [True, False])
def test_ten_predictions_of_200_kb(aws: FakeAWS, make: Callable[..., Publisher], pack: bool) -> None:
    """Ten of them are more than a call may carry: SQS would refuse them all (BatchRequestTooLong)."""
    with make(linger=60, pack=pack) as publisher:
        publisher.publish_many((str(i), "x" * 200_000) for i in range(10))
    assert sorted(p["predictionId"] for p in aws.predictions()) == [str(i) for i in range(10)]
    assert max(len(body["Entries"]) for _, body in aws.calls) == 5


def test_what_is_lingering_is_sent_by_itself(aws: FakeAWS, make: Callable[..., Publisher]) -> None:
    arrived = threading.Event()

    def script(operation: str, body: dict[str, Any]) -> None:
        arrived.set()

    aws.script = script
    publisher = make(linger=0.01)
    publisher.publish("a", 1)
    assert arrived.wait(30), "nobody flushed or closed"
    publisher.close()
    assert kept(aws) == [("a", 1)]


def test_half_of_each_batch_fails(aws: FakeAWS, make: Callable[..., Publisher]) -> None:
    def script(operation: str, body: dict[str, Any]) -> Answer | None:
        good = [e for i, e in enumerate(body["Entries"]) if i % 2 == 1 or len(body["Entries"]) == 1]
        bad = [e for e in body["Entries"] if e not in good]
        aws.queue.extend(e["MessageBody"] for e in good)
        failed = [{"Id": e["Id"], "Code": "InternalError", "SenderFault": False} for e in bad]
        return Answer({"Successful": [{"Id": e["Id"]} for e in good], "Failed": failed})

    aws.script = script
    with make(pack=False, attempts=8) as publisher:
        publisher.publish_many((f"user-{i}", i) for i in range(40))
    assert sorted(kept(aws)) == sorted((f"user-{i}", i) for i in range(40))


def test_an_entry_without_an_answer_is_sent_again(aws: FakeAWS, make: Callable[..., Publisher]) -> None:
    answers = iter([Answer({}), None])
    aws.script = lambda operation, body: next(answers)
    with make() as publisher:
        publisher.publish("a", 1)
    assert kept(aws) == [("a", 1)]
    assert aws.count("SendMessageBatch") == 2


@pytest.mark.parametrize(
    "first", [error("RequestThrottled"), error("X", 503), Answer(None), Answer(b"<html>")]
)
def test_a_call_that_fails_is_made_again(
    aws: FakeAWS, make: Callable[..., Publisher], first: Answer
) -> None:
    answers = iter([first, None])
    aws.script = lambda operation, body: next(answers)
    with make() as publisher:
        publisher.publish("a", 1)
    assert kept(aws) == [("a", 1)]


def test_one_message_that_sqs_refuses_does_not_take_the_others(
    aws: FakeAWS, make: Callable[..., Publisher]
) -> None:
    def script(operation: str, body: dict[str, Any]) -> Answer | None:
        if any("bad" in e["MessageBody"] for e in body["Entries"]):
            return error("InvalidMessageContents")
        return None

    aws.script = script
    lost: list[Failure] = []
    with make(pack=False, on_failure=lost.append) as publisher:
        publisher.publish_many((f"user-{i}", "bad" if i == 7 else i) for i in range(10))
    assert [json.loads(f.body)["predictionId"] for f in lost] == ["user-7"]
    assert sorted(kept(aws)) == sorted((f"user-{i}", i) for i in range(10) if i != 7)
    assert publisher.stats().failed == 1


def test_what_is_given_up_is_raised_where_nobody_listens(
    aws: FakeAWS, make: Callable[..., Publisher]
) -> None:
    failed = {"Id": "0", "Code": "InvalidMessageContents", "SenderFault": True, "Message": "no"}
    aws.script = lambda operation, body: Answer({"Failed": [failed]})
    publisher = make(linger=60)
    publisher.publish("a", 1)
    publisher.publish("b", 1)
    with pytest.raises(PublishError, match="2 predictions not sent.*InvalidMessageContents") as caught:
        publisher.flush()
    (failure,) = caught.value.failures
    assert [json.loads(line)["predictionId"] for line in failure.body.split("\n")] == ["a", "b"]
    publisher.flush()
    publisher.close()


def test_attempts_end(aws: FakeAWS, make: Callable[..., Publisher]) -> None:
    aws.script = lambda operation, body: error("ServiceUnavailable", 503)
    with pytest.raises(PublishError, match="ServiceUnavailable"), make(attempts=2) as publisher:
        publisher.publish("a", 1)
    assert aws.count("SendMessageBatch") == 2


def test_a_full_buffer_holds_the_publishing_thread(aws: FakeAWS, make: Callable[..., Publisher]) -> None:
    go = threading.Event()

    def script(operation: str, body: dict[str, Any]) -> None:
        assert go.wait(30)

    aws.script = script
    lost: list[Failure] = []
    publisher = make(buffer=1, calls=1, linger=60, on_failure=lost.append)  # which means 2 MiB
    for i in range(5):
        publisher.publish(str(i), "x" * 390_000)
    publisher.offer(b'{"x":"' + b"x" * 390_000 + b'"}')
    assert isinstance(lost[0].error, BufferFullError)
    done = threading.Event()

    def sixth() -> None:
        publisher.publish("5", "x" * 390_000)
        done.set()

    thread = threading.Thread(target=sixth)
    thread.start()
    while publisher._flushing == 0:  # until it waits
        os.sched_yield()
    assert not done.is_set()
    go.set()
    assert done.wait(30)
    thread.join()
    publisher.close()
    assert sorted(p["predictionId"] for p in aws.predictions()) == [str(i) for i in range(6)]


def test_close(aws: FakeAWS, make: Callable[..., Publisher]) -> None:
    publisher = make()
    publisher.publish("a", 1)
    publisher.close()
    publisher.close()
    with pytest.raises(ClosedError):
        publisher.publish("b", 1)
    assert kept(aws) == [("a", 1)]


def test_close_gives_up_in_time(aws: FakeAWS, make: Callable[..., Publisher]) -> None:
    aws.script = lambda operation, body: error("ServiceUnavailable", 503)
    publisher = make(attempts=100, linger=0)
    publisher.publish("a", 1)
    with pytest.raises(TimeoutError, match="1 prediction "):
        publisher.flush(timeout=0.01)
    with pytest.raises(PublishError, match="closed"):
        publisher.close(timeout=0.01)
    assert publisher.stats().waiting == 0


def test_many_threads(aws: FakeAWS, make: Callable[..., Publisher]) -> None:
    with make() as publisher:

        def work(n: int) -> None:
            for i in range(200):
                publisher.publish(f"{n}-{i}", i)
            publisher.flush()

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(kept(aws)) == sorted((f"{n}-{i}", i) for n in range(8) for i in range(200))


def test_characters_that_sqs_refuses_arrive(aws: FakeAWS, make: Callable[..., Publisher]) -> None:
    with make() as publisher:
        publisher.publish("\ufffe", "a\uffffb\x00\x0b")
    assert kept(aws) == [("\ufffe", "a\uffffb\x00\x0b")]


def test_fifo_queues(aws: FakeAWS) -> None:
    with Publisher("http://queue.invalid/q.fifo", endpoint_url=aws.url) as publisher:
        publisher.publish("a", 1)
    (entry,) = aws.calls[0][1]["Entries"]
    assert len(entry["MessageDeduplicationId"]) == 64
    assert entry["MessageDeduplicationId"].startswith(entry["MessageGroupId"])


def test_publish_many_names_the_row_and_goes_on(aws: FakeAWS, make: Callable[..., Publisher]) -> None:
    rows: list[Any] = [
        {"id": "a", "payload": 1, "model": "m"},
        {"id": "b", "payload": math.nan},
        {"id": "c"},
        ("d", 4, NOW),
    ]
    bad: list[InvalidPredictionError] = []
    with make() as publisher:
        assert publisher.publish_many(rows, on_invalid=bad.append) == 2
        with pytest.raises(InvalidPredictionError, match="row 1, id 'b'"):
            publisher.publish_many(rows)
    assert [(e.row, e.reason) for e in bad] == [(1, "number"), (2, "missing_field")]
    assert kept(aws) == [("a", 1), ("d", 4), ("a", 1)]


def test_publish_json(aws: FakeAWS, make: Callable[..., Publisher]) -> None:
    with make() as publisher:
        publisher.publish_json(
            '{"predictionId": "a",\r\n "prediction": {"digits": 0.10000000000000000001}}'
        )
        for text in (
            "[1]",
            "{",
            '{"predictionId":"a"}',
            '{"predictionId":"a","prediction":NaN}',
            "[" * 200_000,
        ):
            with pytest.raises(InvalidPredictionError):
                publisher.publish_json(text)
    assert "0.10000000000000000001" in aws.queue[0]


def test_settings_that_cannot_work() -> None:
    for url in ("predictions", "", "sqs.eu-west-1.amazonaws.com/1/q"):
        with pytest.raises(ConfigurationError, match="the queue's URL is"):
            Publisher(url)
    with pytest.raises(ConfigurationError, match="nan is 'zero'"):
        Publisher("http://queue.invalid/q", nan="zero")  # type: ignore[arg-type]


def test_errors_are_of_one_family() -> None:
    for kind in (BufferFullError, ClosedError, InvalidPredictionError, PublishError):
        assert issubclass(kind, PredcacheError)
