"""Signed requests to AWS.

Settings, credentials, endpoints, signatures and the rules of retries are botocore's. Only its
serialisers and parsers are left out, which cost more than all the rest of a call: a request's body is
made where its content is known, and an answer is read as the JSON that it is.
"""

from __future__ import annotations

import os
import re
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import urllib3
from botocore.auth import SigV4Auth
from botocore.exceptions import BotoCoreError, ConnectionClosedError, NoCredentialsError
from botocore.retries import quota, standard

from predcache import _fork, _json
from predcache._version import __version__
from predcache.errors import (
    CallError,
    ConfigurationError,
    NetworkError,
    PredcacheError,
    ServiceError,
)

TARGETS = {"dynamodb": "DynamoDB_20120810", "sqs": "AmazonSQS"}

_QUEUE_HOST = re.compile(r"https://sqs(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com|api\.aws)")


def queue_region(queue_url: str) -> str | None:
    """Return the region that a queue's URL names, or None.

    Raises:
        ConfigurationError: It is no URL.
    """
    if not re.match(r"https?://", queue_url or ""):
        raise ConfigurationError(
            f"the queue's URL is {queue_url!r}: use https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
        )
    m = _QUEUE_HOST.match(queue_url)
    return m[1] if m else None


@dataclass
class Response:
    """An answer, with the names that botocore's rules of retries read."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


class _Request:
    """What SigV4Auth needs of a request."""

    __slots__ = ("body", "context", "headers", "method", "params", "url")

    def __init__(self, url: str, headers: dict[str, str], body: bytes) -> None:
        self.method = "POST"
        self.url = url
        self.params: dict[str, str] = {}
        self.headers = headers
        self.body = body
        self.context: dict[str, Any] = {}


class _Signer(SigV4Auth):  # type: ignore[misc]
    """botocore's signer of requests whose headers are plain and all but the date the same.

    The signature is botocore's; a test compares the two. What is kept between requests: the endpoint's
    parts, the order of the headers, and the key, which is the same all day ("Create a signed AWS API
    request", step 4).
    """

    def __init__(self, credentials: Any, service: str, region: str, url: str) -> None:
        super().__init__(credentials, service, region)
        self._host = urlsplit(url).netloc
        self._path = self._normalize_url_path(urlsplit(url).path)
        self._key: tuple[str, str, bytes] = ("", "", b"")

    def canonical_request(self, request: _Request) -> str:
        """Return what is signed: every header but the name of this client."""
        signed = {name.lower(): value for name, value in request.headers.items()}
        del signed["user-agent"]
        signed["host"] = self._host
        names = sorted(signed)
        headers = "".join([f"{name}:{signed[name]}\n" for name in names])
        request.context["names"] = ";".join(names)
        digest = sha256(request.body).hexdigest()
        return f"POST\n{self._path}\n\n{headers}\n{request.context['names']}\n{digest}"

    def _inject_signature_to_request(self, request: _Request, signature: str) -> _Request:
        request.headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.scope(request)}, "
            f"SignedHeaders={request.context['names']}, Signature={signature}"
        )
        return request

    def signature(self, string_to_sign: str, request: _Request) -> str:
        """Sign with the key of the day."""
        day, secret = request.context["timestamp"][0:8], self.credentials.secret_key
        if self._key[:2] != (day, secret):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region_name, self._service_name, "aws4_request"):
                key = self._sign(key, part)
            self._key = (day, secret, key)
        text: str = self._sign(self._key[2], string_to_sign, hex=True)
        return text


class Settings:
    """What botocore knows of a service: region, endpoint, credentials, timeouts, attempts.

    Args:
        service: ``dynamodb`` or ``sqs``.
        session: A botocore or boto3 session, or None for a new one.
        endpoint_url: In place of the endpoint that botocore finds.
        config: A botocore ``Config``.
        region: In place of the session's: a queue can be called in its own region alone.

    Raises:
        ConfigurationError: botocore has no region, or settings that it refuses.
    """

    def __init__(
        self,
        service: str,
        session: Any = None,
        endpoint_url: str | None = None,
        config: Any = None,
        region: str | None = None,
    ) -> None:
        import botocore.session

        session = session or botocore.session.get_session()
        inner = getattr(session, "_session", session)  # boto3's has botocore's
        region = (
            region
            or inner.get_config_variable("region")
            or os.environ.get("AWS_REGION")  # every SDK but Python's reads it
        )
        if region is None:
            raise ConfigurationError(
                "no AWS region is set: set AWS_REGION to the region of the queue and the table"
            )
        try:
            client = inner.create_client(
                service, region_name=region, endpoint_url=endpoint_url, config=config
            )
            self.credentials = session.get_credentials()
            bundle = inner.get_config_variable("ca_bundle")
        except (BotoCoreError, ValueError) as err:
            raise ConfigurationError(f"botocore refuses its settings: {err}") from err
        self.service = service
        self.region: str = client.meta.region_name
        self.url: str = client.meta.endpoint_url.rstrip("/") + "/"
        self.config = client.meta.config
        self.models = client.meta.service_model
        self.ca_certs: str = bundle or _bundled_certificates()
        retries = self.config.retries or {}
        default = 4 if service == "dynamodb" else 3  # as in botocore's standard mode
        self.max_attempts = int(retries.get("total_max_attempts") or default)
        self.proxy = _proxy(self.url, self.config.proxies)

    def frozen(self) -> Any:
        """Return the credentials of the moment; botocore renews them here, which may block.

        Raises:
            ConfigurationError: There are none.
        """
        if self.credentials is None:
            raise ConfigurationError(
                "no AWS credentials were found: give the task or pod a role, or set"
                " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from NoCredentialsError()
        try:
            return self.credentials.get_frozen_credentials()
        except BotoCoreError as err:
            raise CallError("get credentials", str(err)) from err


def _bundled_certificates() -> str:
    from botocore.httpsession import get_cert_path

    path: str = get_cert_path(True)
    return path


def _proxy(url: str, configured: Mapping[str, str] | None) -> str | None:
    from botocore.utils import get_environ_proxies

    proxies = configured if configured is not None else get_environ_proxies(url)
    return proxies.get(urlsplit(url).scheme) if proxies else None


class Requests:
    """Makes signed requests of one service, and reads their answers. It calls nothing by itself."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._signers: dict[Any, _Signer] = {}
        self._quota = standard.RetryQuotaChecker(quota.RetryQuota())
        self._conditions = standard.StandardRetryConditions(settings.max_attempts)
        self._backoff = standard.ExponentialBackoff()
        target = TARGETS[settings.service]
        self._headers = {
            "Content-Type": "application/x-amz-json-1.0",
            # As botocore does: the checksum is of the bytes as they were sent.
            "Accept-Encoding": "identity",
            "User-Agent": f"{settings.config.user_agent} lib/predcache#{__version__}",
        }
        self._target = target + "."

    def signed(self, operation: str, body: bytes, credentials: Any) -> dict[str, str]:
        """Return the headers of a request, with its signature."""
        headers = {**self._headers, "X-Amz-Target": self._target + operation}
        request = _Request(self.settings.url, headers, body)
        signer = self._signers.get(credentials)
        if signer is None:
            settings = self.settings
            signer = _Signer(credentials, settings.service, settings.region, settings.url)
            self._signers = {credentials: signer}  # the last one's: renewed ones replace them
        signer.add_auth(request)
        return headers

    def read(self, operation: str, response: Response) -> Any:
        """Return an answer's JSON.

        Raises:
            ServiceError: It says what went wrong.
            NetworkError: It did not arrive as it was sent.
        """
        content = response.content
        if response.status_code != 200:
            raise self._failure(operation, response)
        checksum = response.headers.get("x-amz-crc32")
        if checksum is not None and int(checksum) != zlib.crc32(content):
            raise NetworkError(operation, "the answer's checksum is wrong")
        try:
            return _json.loads(content)
        except ValueError as err:
            raise NetworkError(operation, f"the answer is no JSON: {err}") from err

    def _failure(self, operation: str, response: Response) -> ServiceError:
        code, message = "", ""
        try:
            body = _json.loads(response.content)
            code = str(body.get("__type") or body.get("code") or "")
            message = str(body.get("message") or body.get("Message") or "")
        except (ValueError, AttributeError):
            pass  # a load balancer's page
        # SQS names its older codes in a header ("awsQueryCompatible").
        code = code.rpartition("#")[2] or f"HTTP{response.status_code}"
        request_id = response.headers.get("x-amzn-requestid", "")
        return ServiceError(operation, code, message or "no message", response.status_code, request_id)

    def delay(
        self,
        operation: str,
        attempt: int,
        context: dict[str, Any],
        response: Response | None,
        error: CallError,
    ) -> float | None:
        """Return how many seconds to wait before another attempt, or None for no other one.

        Args:
            operation: What was called.
            attempt: How many attempts were made.
            context: Kept from attempt to attempt of a call.
            response: The answer, where there was one.
            error: What went wrong.
        """
        parsed = {"Error": {"Code": error.code}} if isinstance(error, ServiceError) else {}
        lost = response is None or not isinstance(error, ServiceError)
        retry = standard.RetryContext(
            attempt_number=attempt,
            operation_model=self.settings.models.operation_model(operation),
            parsed_response=parsed,
            http_response=None if lost else response,
            caught_exception=ConnectionClosedError(endpoint_url=self.settings.url) if lost else None,
            request_context=context,
        )
        if not self._conditions.is_retryable(retry) or not self._quota.acquire_retry_quota(retry):
            return None
        seconds: float = self._backoff.delay_amount(retry)
        return seconds

    def succeeded(self, context: dict[str, Any], response: Response) -> None:
        """Give back what retries took of botocore's quota."""
        self._quota.release_retry_quota(context, response)


class Service:
    """One service, called through urllib3. Many threads may use it at once.

    Args:
        settings: What botocore knows of it.
        connections: How many are kept open.
    """

    def __init__(self, settings: Settings, connections: int | None = None) -> None:
        self._settings = settings
        self._requests = Requests(settings)
        self._connections = connections or settings.config.max_pool_connections or 10
        self._timeout = urllib3.Timeout(
            connect=settings.config.connect_timeout, read=settings.config.read_timeout
        )
        self._connect()
        _fork.watch(self)

    def _connect(self) -> None:
        url = self._settings.url
        parts = urlsplit(url)
        options: dict[str, Any] = {"maxsize": self._connections, "timeout": self._timeout}
        if parts.scheme == "https":
            options |= {"cert_reqs": "CERT_REQUIRED", "ca_certs": self._settings.ca_certs}
            cert = self._settings.config.client_cert
            if isinstance(cert, str):
                options["cert_file"] = cert
            elif cert:
                options["cert_file"], options["key_file"] = cert
        self._pool: Any
        if self._settings.proxy:
            self._pool = urllib3.ProxyManager(self._settings.proxy, **options)
            self._target = url
        else:
            self._pool = urllib3.connectionpool.connection_from_url(url, **options)
            self._target = parts.path

    def after_fork(self) -> None:
        """Leave the parent's connections to the parent."""
        self._connect()

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._pool.clear() if self._settings.proxy else self._pool.close()

    def call(self, operation: str, body: bytes) -> Any:
        """Call an operation, with botocore's number of attempts, and return the answer's JSON.

        Raises:
            CallError: It failed.
        """
        context: dict[str, Any] = {}
        attempt = 0
        while True:
            attempt += 1
            response: Response | None = None
            try:
                response = self._send(operation, body, None)
                answer = self._requests.read(operation, response)
            except CallError as err:
                wait = self._requests.delay(operation, attempt, context, response, err)
                if wait is None:
                    raise
                time.sleep(wait)
            else:
                if attempt > 1:
                    self._requests.succeeded(context, response)
                return answer

    def once(self, operation: str, body: bytes, timeout: float) -> Any:
        """Call an operation in one attempt of so many seconds, and return the answer's JSON.

        Raises:
            CallError: It failed.
        """
        limit = urllib3.Timeout(total=timeout)
        return self._requests.read(operation, self._send(operation, body, limit))

    def _send(self, operation: str, body: bytes, timeout: Any) -> Response:
        headers = self._requests.signed(operation, body, self._settings.frozen())
        options = {} if timeout is None else {"timeout": timeout}
        try:
            r = self._pool.urlopen(
                "POST",
                self._target,
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                **options,
            )
        except (urllib3.exceptions.HTTPError, OSError) as err:
            host = urlsplit(self._settings.url).netloc
            raise NetworkError(operation, f"no answer from {host}: {err}") from err
        return Response(r.status, r.headers, r.data)


def is_invalid(error: PredcacheError) -> bool:
    """Tell whether an error is about what a request holds."""
    return isinstance(error, ServiceError) and error.status == 400
