"""Signed requests: botocore's signature, its retries, its credentials."""

from __future__ import annotations

import datetime
import pickle
from typing import Any

import botocore.session
import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials
from fake import Answer, FakeAWS, error

from predcache import Cache, CallError, ConfigurationError, NetworkError, Publisher, ServiceError
from predcache._signed import Requests, Service, Settings


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Don't wait between attempts; the waits that were asked for are in the list."""
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    return waits


@pytest.mark.parametrize("token", [None, "session/token+of=role"])
@pytest.mark.parametrize(
    "url", ["https://dynamodb.eu-west-1.amazonaws.com", "http://127.0.0.1:8000/base path/"]
)
def test_the_signature_is_botocores(url: str, token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.timezone.utc)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *a, **k: at, raising=True)
    requests = Requests(Settings("dynamodb", endpoint_url=url))
    for secret in ("wJalrXUtnFEMI/K7MDENG", "another"):
        credentials = ReadOnlyCredentials("AKIDEXAMPLE", secret, token)
        for body in (b"{}", '{"a":"é"}'.encode()):
            got = requests.signed("GetItem", body, credentials)
            sent = {
                n: v
                for n, v in got.items()
                if n not in ("Authorization", "X-Amz-Date", "X-Amz-Security-Token")
            }
            request = AWSRequest("POST", requests.settings.url, sent, body)
            SigV4Auth(credentials, "dynamodb", "eu-west-1").add_auth(request)
            assert dict(request.headers.items()) == got


def test_throttling_is_tried_again_as_botocore_does(aws: FakeAWS, quick: list[float]) -> None:
    aws.put("a", 1)
    answers = iter([error("ThrottlingException"), error("ProvisionedThroughputExceededException"), None])
    aws.script = lambda operation, body: next(answers)
    with Cache("t", layout="latest-only", endpoint_url=aws.url) as cache:
        prediction = cache.get("a")
    assert prediction is not None
    assert aws.count("GetItem") == 3
    assert len(quick) == 2


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (error("InternalServerError", 500), "InternalServerError"),
        (Answer(b"<html>bad gateway</html>", 502), "HTTP502"),
        (error("ThrottlingException"), "ThrottlingException"),
    ],
)
def test_attempts_end(aws: FakeAWS, quick: list[float], answer: Answer, code: str) -> None:
    aws.script = lambda operation, body: answer
    config = Config(retries={"mode": "standard", "total_max_attempts": 3})
    cache = Cache("t", layout="latest-only", endpoint_url=aws.url, config=config)
    with pytest.raises(ServiceError) as caught:
        cache.get("a")
    assert caught.value.code == code
    assert caught.value.operation == "GetItem"
    assert aws.count("GetItem") == 3
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.status) == (str(caught.value), answer.status)


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "ResourceNotFoundException", "ExpiredTokenException"]
)
def test_what_cant_change_is_not_tried_again(aws: FakeAWS, code: str) -> None:
    aws.script = lambda operation, body: error(code)
    with pytest.raises(ServiceError, match=code) as caught:
        Cache("t", layout="latest-only", endpoint_url=aws.url).get("a")
    assert aws.count("GetItem") == 1
    assert "(" in str(caught.value), "no remedy"


def test_lost_answers_and_refused_connections(aws: FakeAWS, quick: list[float]) -> None:
    aws.put("a", 1)
    answers = iter([Answer(None), None])
    aws.script = lambda operation, body: next(answers)
    with Cache("t", layout="latest-only", endpoint_url=aws.url) as cache:
        assert cache.get("a") is not None
    with pytest.raises(NetworkError, match="no answer from 127.0.0.1:9"):
        Cache("t", layout="latest-only", endpoint_url="http://127.0.0.1:9").get("a")


def test_a_wrong_checksum_is_tried_again(aws: FakeAWS, quick: list[float]) -> None:
    aws.put("a", 1)
    answers = iter([Answer({}, 200, {"x-amz-crc32": "1"}), None])
    aws.script = lambda operation, body: next(answers)
    with Cache("t", layout="latest-only", endpoint_url=aws.url) as cache:
        assert cache.get("a") is not None


def test_a_slow_answer_is_a_network_error(aws: FakeAWS) -> None:
    def timed_out(*args: Any, **options: Any) -> Any:
        raise urllib3.exceptions.ReadTimeoutError(None, "/", "read timed out")  # type: ignore[arg-type]

    service = Service(Settings("dynamodb", endpoint_url=aws.url))
    service._pool.urlopen = timed_out
    with pytest.raises(NetworkError, match="read timed out"):
        service.once("GetItem", b"{}", 1.0)


class _Renewed:
    """A session whose credentials have to be renewed again and again."""

    def __init__(self) -> None:
        self.renewals = 0
        self._session = botocore.session.get_session()
        self.credentials = RefreshableCredentials(
            "key0", "secret", "token", self._end(-1), self.renew, "test"
        )

    @staticmethod
    def _end(hours: int) -> datetime.datetime:
        return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)

    def renew(self) -> dict[str, str]:
        self.renewals += 1
        return {
            "access_key": f"key{self.renewals}",
            "secret_key": "secret",
            "token": "token",
            "expiry_time": self._end(1).isoformat(),
        }

    def get_credentials(self) -> RefreshableCredentials:
        return self.credentials


def test_expired_credentials_are_renewed_by_botocore(aws: FakeAWS) -> None:
    session = _Renewed()
    with Cache("t", layout="latest-only", endpoint_url=aws.url, session=session) as cache:
        cache.get("a")
        cache.get("b")
        session.credentials._expiry_time = session._end(-1)
        cache.get("c")
    keys = [h["Authorization"].split("Credential=")[1].split("/")[0] for h in aws.headers]
    assert keys == ["key1", "key1", "key2"]
    assert aws.headers[0]["X-Amz-Security-Token"] == "token"


def test_no_region_and_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigurationError, match="AWS_REGION"):
        Cache("t")
    url = "https://sqs.eu-central-1.amazonaws.com/123456789012/q"
    assert Publisher(url)._service._settings.region == "eu-central-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert Publisher(url)._service._settings.url == "https://sqs.eu-central-1.amazonaws.com/"
    assert Publisher("http://127.0.0.1/q")._service._settings.region == "us-east-1"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    assert Cache("t")._service._settings.url == "https://dynamodb.eu-west-3.amazonaws.com/"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ConfigurationError, match="no AWS credentials"):
        Cache("t", layout="latest-only").get("a")


def test_a_proxy_gets_the_whole_url(aws: FakeAWS) -> None:
    config = Config(proxies={"http": aws.url})
    cache = Cache("t", layout="latest-only", endpoint_url="http://dynamodb.invalid", config=config)
    aws.put("a", 1)
    assert cache.get("a") is not None
    assert aws.headers[0]["Host"] == "dynamodb.invalid"


def test_service_errors_are_call_errors() -> None:
    assert issubclass(ServiceError, CallError)
    assert issubclass(NetworkError, CallError)
