"""Fixtures: every test runs with orjson and with the standard library's json."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from fake import FakeAWS

from predcache import _json

# No test may meet this machine's own settings.
for name in list(os.environ):
    if name.startswith("AWS_") or name.lower().endswith("_proxy"):
        del os.environ[name]
os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION="eu-west-1",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    AWS_EC2_METADATA_DISABLED="true",
)


@pytest.fixture(autouse=True, params=["orjson", "json"])
def json_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test with and without orjson."""
    if request.param == "json":
        monkeypatch.setattr(_json, "orjson", None)
    else:
        assert _json.orjson is not None, "the tests need orjson: install predcache[speed]"
    return str(request.param)


@pytest.fixture
def aws() -> Iterator[FakeAWS]:
    """An endpoint that answers as the test says."""
    with FakeAWS() as fake:
        yield fake


class Clock:
    """Moves time on without waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 0.0
        real, real_monotonic = time.time, time.monotonic
        monkeypatch.setattr(time, "time", lambda: real() + self.passed)
        monkeypatch.setattr(time, "monotonic", lambda: real_monotonic() + self.passed)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)
