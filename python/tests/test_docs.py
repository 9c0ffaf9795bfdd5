"""The code of docs/python.md is run, block by block."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from fake import FakeAWS

from predcache import errors

GUIDE = Path(os.environ.get("PREDCACHE_GUIDE", Path(__file__).resolve().parents[2] / "docs" / "python.md"))
TEXT = GUIDE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def block(text: str) -> str:
    (found,) = [b for b in BLOCKS if text in b]
    return found


@pytest.fixture(autouse=True)
def settings(aws: FakeAWS, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    for id_ in ("user-42", "user-43"):
        aws.put(id_, {"score": 0.5})


def test_publishing_and_reading(aws: FakeAWS) -> None:
    frame = pd.DataFrame(
        {"user_id": ["a"], "score": [0.5], "label": [1], "at": pd.to_datetime([1e9], unit="s", utc=True)}
    )
    code = BLOCKS[: next(i for i, b in enumerate(BLOCKS) if "asynccontextmanager" in b)]
    assert len(code) >= 5
    scope: dict[str, Any] = {"frame": frame}
    for text in code:
        exec(compile(text, str(GUIDE), "exec"), scope)
    ids = [p["predictionId"] for p in aws.predictions()]
    assert ids == ["user-42", "user-42", "user-42", "user-43", "a", "user-42", "user-43"]
    assert [p.get("deleted", False) for p in aws.predictions()] == [False] * 5 + [True] * 2
    assert aws.predictions()[1]["ttlSeconds"] == 21600
    assert scope["prediction"].payload == {"score": 0.5}


@pytest.mark.filterwarnings("ignore:Using .httpx")
def test_fastapi(aws: FakeAWS, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi.testclient import TestClient

    monkeypatch.setenv("QUEUE_URL", "http://queue.invalid/q")
    monkeypatch.setenv("TABLE_NAME", "predictions")
    scope: dict[str, Any] = {"__name__": "app"}
    exec(compile(block("lifespan"), str(GUIDE), "exec"), scope)
    with TestClient(scope["app"]) as client:
        assert client.get("/predictions/user-42").json() == {"score": 0.5}
        assert client.get("/predictions/nobody").status_code == 404
        for _ in range(3):
            assert client.post("/predictions/new").json() == {"score": 0.03}
            assert client.get("/predictions/new").json() == {"score": 0.03}
    assert [p["predictionId"] for p in aws.predictions()] == ["new"]


def run(text: str, **scope: Any) -> dict[str, Any]:
    from predcache import Publisher

    scope |= {"Publisher": Publisher, "QUEUE_URL": "http://queue.invalid/q"}
    exec(compile(block(text), str(GUIDE), "exec"), scope)
    return scope


def test_spark(aws: FakeAWS) -> None:
    rows = ({"user_id": f"user-{i}", "score": i / 10, "at": 1795642015708000 + i} for i in range(3))
    run("publish_partition")["publish_partition"](rows)
    assert [(p["predictionId"], p["timestamp"]) for p in aws.predictions()] == [
        (f"user-{i}", 1795642015708000 + i) for i in range(3)
    ]


def test_airflow_and_sagemaker(aws: FakeAWS, tmp_path: Path) -> None:
    path = tmp_path / "scores.ndjson"
    path.write_text('{"predictionId":"a","prediction":1}\n{"predictionId":"b","prediction":2}\n')
    assert run("publish_scores")["publish_scores"](str(path)) == 2
    functions = SimpleNamespace(**run("predict_fn", load=lambda path: sum))
    loaded = functions.model_fn("/opt/ml/model")
    assert functions.predict_fn({"user_id": "c", "features": [1, 2]}, loaded) == 3
    loaded[1].close()
    assert [p["predictionId"] for p in aws.predictions()] == ["a", "b", "c"]


def test_every_exception_is_documented() -> None:
    table = TEXT[TEXT.index("## Exceptions") :]
    for name in errors.__all__:
        assert f"`{name}`" in table or f".{name}`" in table, name
