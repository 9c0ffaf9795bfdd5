"""Signed requests through aiohttp."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import aiohttp
from yarl import URL

from predcache._signed import Requests, Response, Service, Settings
from predcache.errors import CallError, NetworkError

# botocore renews credentials 15 minutes before they end: from a little earlier it is asked in a thread.
_MARGIN = 30


class AsyncService:
    """One service, called from one event loop.

    What botocore does may block (it reads files, and asks instance metadata for credentials), so that is
    done in a thread: loading the settings, and renewing credentials.

    Args:
        service: ``dynamodb`` or ``sqs``.
        connections: How many are open at most; None is botocore's number.
        settings: The other arguments of ``Settings``.
    """

    def __init__(self, service: str, connections: int | None, *settings: Any) -> None:
        self._arguments = service, *settings
        self._connections = connections
        self._opening = asyncio.Lock()
        self._settings: Settings | None = None
        self._requests: Requests
        self._client: aiohttp.ClientSession
        self._renewing: asyncio.Future[Any] | None = None

    async def open(self) -> None:
        """Load botocore's settings and the credentials.

        Raises:
            ConfigurationError: There is no region, no credentials, or botocore refuses its settings.
        """
        async with self._opening:
            if self._settings is not None:
                return
            settings, context = await asyncio.to_thread(self._load)
            self._requests = Requests(settings)
            self._url = URL(settings.url, encoded=True)
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections or settings.config.max_pool_connections or 10, ssl=context
                ),
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    sock_connect=settings.config.connect_timeout,
                    sock_read=settings.config.read_timeout,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept",),
                auto_decompress=False,
            )
            self._settings = settings

    def _load(self) -> tuple[Settings, ssl.SSLContext | bool]:
        settings = Settings(*self._arguments)
        settings.frozen()
        if not settings.url.startswith("https"):
            return settings, True
        context = ssl.create_default_context(cafile=settings.ca_certs)
        cert = settings.config.client_cert
        if cert:
            context.load_cert_chain(*([cert] if isinstance(cert, str) else cert))
        return settings, context

    async def close(self) -> None:
        """Close the connections."""
        if self._settings is not None:
            await self._client.close()

    def blocking(self) -> Service:
        """Return the same service for use without an event loop."""
        return Service(self._settings or Settings(*self._arguments))

    async def call(self, operation: str, body: bytes) -> tuple[Any, int]:
        """Call an operation, with botocore's number of attempts.

        Returns:
            The answer's JSON, and its size in bytes.

        Raises:
            CallError: It failed.
        """
        if self._settings is None:
            await self.open()
        context: dict[str, Any] = {}
        attempt = 0
        while True:
            attempt += 1
            response: Response | None = None
            try:
                response = await self._send(operation, body)
                answer = self._requests.read(operation, response)
            except CallError as err:
                wait = self._requests.delay(operation, attempt, context, response, err)
                if wait is None:
                    raise
                await asyncio.sleep(wait)
            else:
                if attempt > 1:
                    self._requests.succeeded(context, response)
                return answer, len(response.content)

    async def once(self, operation: str, body: bytes, timeout: float) -> Any:
        """Call an operation in one attempt of so many seconds, and return the answer's JSON.

        Raises:
            CallError: It failed.
        """
        if self._settings is None:
            await self.open()
        try:
            return self._requests.read(
                operation, await asyncio.wait_for(self._send(operation, body), timeout)
            )
        except asyncio.TimeoutError as err:
            raise NetworkError(operation, f"no answer within {timeout:g} s") from err

    async def _credentials(self) -> Any:
        settings = self._settings
        assert settings is not None  # noqa: S101 # open() came before
        credentials = settings.credentials
        refresh_needed = getattr(credentials, "refresh_needed", None)
        if refresh_needed is None:
            return settings.frozen()
        ahead = getattr(credentials, "_advisory_refresh_timeout", 15 * 60) + _MARGIN
        if not refresh_needed(ahead):
            return settings.frozen()
        # One renewal for all calls that wait for it, which goes on if one of them is cancelled.
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.ensure_future(asyncio.to_thread(settings.frozen))
        return await asyncio.shield(self._renewing)

    async def _send(self, operation: str, body: bytes) -> Response:
        settings = self._settings
        assert settings is not None  # noqa: S101 # open() came before
        headers = self._requests.signed(operation, body, await self._credentials())
        try:
            async with self._client.post(
                self._url, data=body, headers=headers, allow_redirects=False, proxy=settings.proxy
            ) as r:
                return Response(r.status, r.headers, await r.read())
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as err:
            text = f"{type(err).__name__}: {err}" if str(err) else type(err).__name__
            raise NetworkError(operation, f"no answer from {self._url.authority}: {text}") from err
