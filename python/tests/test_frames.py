"""DataFrames of pandas and polars."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from typing import Any

import botocore.session
import numpy as np
import pandas as pd
import polars as pl
import pytest
from fake import FakeAWS

from predcache import InvalidPredictionError, Publisher

SESSION = botocore.session.get_session()
UTC = datetime.timezone.utc
TIMES = [datetime.datetime(2026, 1, 31, 12, 0, i, tzinfo=UTC) for i in range(3)]
COLUMNS: dict[str, Any] = {
    "user": ["a", "b", "c"],
    "score": [0.5, 0.25, 0.125],
    "label": [9007199254740993, 2, 3],
    "model": ["m1", "m2", "m3"],
    "life": [60, 61, 62],
}


@pytest.fixture
def publisher(aws: FakeAWS) -> Iterator[Publisher]:
    with Publisher("http://queue.invalid/q", endpoint_url=aws.url, session=SESSION) as publisher:
        yield publisher


def pandas_frame(**more: Any) -> Any:
    return pd.DataFrame({**COLUMNS, "at": pd.to_datetime(TIMES), **more})


def polars_frame(**more: Any) -> Any:
    return pl.DataFrame({**COLUMNS, "at": TIMES, **more})


frames = pytest.mark.parametrize("frame_of", [pandas_frame, polars_frame])


@frames
def test_each_row_is_a_prediction(aws: FakeAWS, publisher: Publisher, frame_of: Any) -> None:
    taken = publisher.publish_frame(
        frame_of(),
        id="user",
        payload=["score", "label"],
        timestamp="at",
        ttl="life",
        attributes=["model"],
        batch=7,
    )
    publisher.flush()
    assert taken == 3
    assert aws.predictions()[0] == {
        "predictionId": "a",
        "timestamp": 1769860800000000,
        "prediction": {"score": 0.5, "label": 9007199254740993},
        "ttlSeconds": 60,
        "model": "m1",
        "batch": 7,
    }
    assert [p["timestamp"] for p in aws.predictions()] == [1769860800000000 + i * 10**6 for i in range(3)]


@frames
def test_one_column_is_the_payload(aws: FakeAWS, publisher: Publisher, frame_of: Any) -> None:
    frame = frame_of(vector=[[0.5, 1.0], [], [2.0]])
    publisher.publish_frame(frame, id="user", payload="vector")
    publisher.flush()
    assert [p["prediction"] for p in aws.predictions()] == [[0.5, 1.0], [], [2.0]]


@frames
def test_float32_has_its_own_digits(aws: FakeAWS, publisher: Publisher, frame_of: Any) -> None:
    frame = frame_of(small=np.array([0.1, 0.2, 0.3], dtype=np.float32))
    publisher.publish_frame(frame, id="user", payload="small")
    publisher.flush()
    assert [p["prediction"] for p in aws.predictions()] == [0.1, 0.2, 0.3]


@frames
def test_nan_names_row_and_column(aws: FakeAWS, publisher: Publisher, frame_of: Any) -> None:
    frame = frame_of(other=[0.5, float("nan"), float("inf")])
    with pytest.raises(InvalidPredictionError, match="row 1, id 'b': prediction.other is nan"):
        publisher.publish_frame(frame, id="user", payload=["score", "other"])
    bad: list[InvalidPredictionError] = []
    assert publisher.publish_frame(frame, id="user", payload="other", on_invalid=bad.append) == 1
    assert [(e.row, e.field) for e in bad] == [(1, "prediction"), (2, "prediction")]
    with Publisher("http://queue.invalid/q", endpoint_url=aws.url, session=SESSION, nan="null") as other:
        assert other.publish_frame(frame, id="user", payload="other") == 3
    assert [p["prediction"] for p in aws.predictions()][-2:] == [None, None]


def test_missing_ids_and_naive_times(publisher: Publisher) -> None:
    frame = pandas_frame(id=["a", None, "c"], naive=pd.to_datetime(["2026-01-31"] * 3), n=[1, 2, 3])
    frame["nullable"] = pd.array([1, None, 3], dtype="Int64")
    for options, match in (
        ({"id": "id", "payload": "score"}, "row 1: predictionId is missing"),
        ({"id": "n", "payload": "score"}, "row 0, id 1: predictionId is a number.*send '1'"),
        ({"id": "user", "payload": "score", "timestamp": "naive"}, "row 0.*without a zone"),
        ({"id": "user", "payload": ["nullable"]}, "row 1.*prediction.nullable is nan"),
    ):
        with pytest.raises(InvalidPredictionError, match=match):
            publisher.publish_frame(frame, **options)  # type: ignore[arg-type]


def test_pandas_keeps_nanoseconds(aws: FakeAWS, publisher: Publisher) -> None:
    frame = pandas_frame(nanos=pd.to_datetime([1769860800123456789] * 3, utc=True))
    publisher.publish_frame(frame, id="user", payload="score", timestamp="nanos")
    publisher.flush()
    assert '"timestamp":1769860800.123456789' in aws.queue[0]


@frames
def test_long_frames_go_in_chunks(aws: FakeAWS, publisher: Publisher, frame_of: Any) -> None:
    frame = frame_of()
    long = (pd.concat([frame] * 7000) if frame_of is pandas_frame else pl.concat([frame] * 7000)).head(
        20_001
    )
    assert publisher.publish_frame(long, id="user", payload="score") == 20_001
    publisher.flush()
    assert len(aws.predictions()) == 20_001


def test_what_is_no_frame(publisher: Publisher) -> None:
    with pytest.raises(TypeError, match="not dict"):
        publisher.publish_frame({}, id="user", payload="score")
    with pytest.raises(KeyError, match="nothing"):
        publisher.publish_frame(pandas_frame(), id="user", payload="nothing")


def test_nothing_is_imported_that_is_not_used() -> None:
    import subprocess

    code = "import sys, predcache, predcache.aio\nassert not {'pandas', 'polars', 'numpy', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
