"""The command line."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from fake import FakeAWS, error


def test_the_command_line_shows_a_prediction(
    aws: FakeAWS, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    from predcache.__main__ import main

    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    aws.put("a", {"digits": 1})
    assert main(["get", "a", "--table", "predictions"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["predictionId"] == "a"
    assert shown["prediction"] == {"digits": 1}
    assert main(["get", "nobody", "--table", "predictions"]) == 1
    assert "no live prediction" in capsys.readouterr().err
    monkeypatch.setenv("PREDCACHE_TABLE_NAME", "predictions")
    assert main(["get", "a"]) == 0
    file = tmp_path / "predictions.ndjson"
    file.write_text(
        '{"predictionId":"b","prediction":0.10}\n\n{"predictionId":"c"}\n{"predictionId":"d","prediction":2}\n'
    )
    queue = "http://queue.invalid/q"
    packed = tmp_path / "predictions.ndjson.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert main(["publish", str(packed), "--queue-url", queue]) == 2
    assert "not UTF-8 text: decompress it" in capsys.readouterr().err
    assert main(["publish", str(file), "--queue-url", queue]) == 1
    output = capsys.readouterr()
    assert "published 2 of 3" in output.out
    assert "line 3" in output.err
    assert any("0.10" in body for body in aws.queue)  # one message, or two on a slow machine
    aws.script = lambda operation, body: error("AccessDeniedException")
    assert main(["get", "a"]) == 2
    assert "policy" in capsys.readouterr().err
    monkeypatch.delenv("PREDCACHE_TABLE_NAME")
    assert main(["get", "a"]) == 2
