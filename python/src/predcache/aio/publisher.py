"""Publishes predictions to the queue that the worker consumes, for asyncio."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import dataclasses
import datetime
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal

from predcache import _contract as contract
from predcache import _fork
from predcache._frames import rows_of
from predcache._message import Encoder
from predcache._packing import (
    OVERHEAD,
    Failure,
    Failures,
    Message,
    Outbox,
    PublisherStats,
    check_publisher,
    still_waiting,
)
from predcache._signed import queue_region
from predcache.aio._signed import AsyncService
from predcache.errors import (
    BufferFullError,
    ClosedError,
    InvalidPredictionError,
    NetworkError,
    PredcacheError,
)
from predcache.rules import Rules

__all__ = ["Publisher"]

_YIELD_AFTER = 64 << 10  # bytes that publish_many encodes before the event loop has its turn


class Publisher:
    """``predcache.Publisher`` for asyncio: the same arguments, and the same methods, to be awaited.

    Cancelling a caller loses nothing that was taken. Close it, or use ``async with``: what still waits when
    the event loop has ended without that is sent when the interpreter exits, without asyncio.
    """

    def __init__(
        self,
        queue_url: str,
        *,
        session: Any = None,
        pack: bool = True,
        linger: float = 0.05,
        rules: Rules | None = None,
        nan: Literal["error", "null"] = "error",
        on_failure: Callable[[Failure], object] | None = None,
        buffer: int = 16 << 20,
        calls: int = 4,
        attempts: int = 6,
        timeout: float = 10.0,
        endpoint_url: str | None = None,
        config: Any = None,
    ) -> None:
        numbers = {
            "linger": linger,
            "buffer": buffer,
            "calls": calls,
            "attempts": attempts,
            "timeout": timeout,
        }
        check_publisher(numbers, rules, on_failure)
        self._service = AsyncService("sqs", calls, session, endpoint_url, config, queue_region(queue_url))
        self._encoder = Encoder(rules or Rules(), nan)
        self.nan = nan
        self._on_failure = on_failure
        self._buffer = max(buffer, 2 * contract.MAX_MESSAGE)
        self._calls = calls
        self._timeout = timeout
        self._queue = queue_url, pack, linger, attempts
        self._closed = False
        self._begin()
        _fork.watch(self)

    def _begin(self) -> None:
        self._outbox = Outbox(*self._queue)
        self._work = asyncio.Event()  # a call may have become due
        self._left = asyncio.Event()  # something was sent or given up
        self._pump: asyncio.Task[None] | None = None
        self._sending: dict[asyncio.Task[None], list[Message]] = {}  # calls under way
        self._flushing = 0
        self._failures = Failures(self._on_failure, self._buffer)

    def after_fork(self) -> None:
        """Leave the parent's predictions and its event loop to the parent."""
        self._begin()
        _open.discard(self)

    async def __aenter__(self) -> Publisher:
        await self._service.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def publish(
        self,
        id: Any,  # noqa: A002
        payload: Any,
        *,
        timestamp: Any = None,
        ttl: float | datetime.timedelta | None = None,
        expires_at: Any = None,
        **attributes: Any,
    ) -> None:
        """Take a prediction to be sent soon: see ``predcache.Publisher.publish``."""
        await self._add(self._encoder.line(id, payload, timestamp, ttl, expires_at, attributes))

    async def delete(
        self,
        id: Any,  # noqa: A002
        *,
        timestamp: Any = None,
        ttl: float | datetime.timedelta | None = None,
        expires_at: Any = None,
    ) -> None:
        """Take a delete to be sent soon: see ``predcache.Publisher.delete``."""
        await self._add(self._encoder.delete(id, timestamp, ttl, expires_at))

    async def publish_json(self, text: str) -> None:
        """Take a JSON object that is a prediction already: see ``predcache.Publisher.publish_json``."""
        await self._add(self._encoder.raw_line(text))

    async def publish_many(
        self,
        predictions: Iterable[Mapping[str, Any] | tuple[Any, ...]],
        *,
        on_invalid: Callable[[InvalidPredictionError], object] | None = None,
    ) -> int:
        """Take many predictions: see ``predcache.Publisher.publish_many``."""
        taken = size = 0
        for line in self._encoder.lines(predictions, on_invalid):
            await self._add(line)
            taken += 1
            size += len(line)
            if size > _YIELD_AFTER:
                size = 0
                await asyncio.sleep(0)
        return taken

    async def publish_frame(
        self,
        frame: Any,
        *,
        id: str,  # noqa: A002
        payload: str | list[str],
        timestamp: str | None = None,
        ttl: str | None = None,
        attributes: Iterable[str] = (),
        on_invalid: Callable[[InvalidPredictionError], object] | None = None,
        **constants: Any,
    ) -> int:
        """Take a prediction of each row of a DataFrame: see ``predcache.Publisher.publish_frame``."""
        rows = rows_of(frame, id, payload, timestamp, ttl, list(attributes), constants)
        return await self.publish_many(rows, on_invalid=on_invalid)

    def offer(self, line: bytes) -> None:
        """Take a line without waiting: where there is no room it is a failure."""
        if not self._closed and self._has_room(line):
            self._take(line)
            return
        self._outbox.stats.failed += 1
        error = ClosedError("the publisher is closed") if self._closed else BufferFullError()
        self._failures.report([Failure(error, 1, line.decode())])

    def _has_room(self, line: bytes) -> bool:
        return self._outbox.bytes + len(line) + OVERHEAD <= self._buffer

    async def _add(self, line: bytes) -> None:
        while not self._closed and not self._has_room(line):
            self._flushing += 1  # what is there has to leave, however young
            self._work.set()
            try:
                self._left.clear()
                await self._left.wait()
            finally:
                self._flushing -= 1
        if self._closed:
            raise ClosedError("the publisher is closed")
        self._take(line)

    def _take(self, line: bytes) -> None:
        if self._outbox.add(line):
            self._work.set()
        if self._pump is None or self._pump.done():
            _open.add(self)
            self._pump = asyncio.ensure_future(self._send_until_closed())

    async def _send_until_closed(self) -> None:
        """Begin calls as they become due, as long as nobody has closed it and anything is left."""
        outbox = self._outbox
        loop = asyncio.get_running_loop()
        try:
            while not (self._closed and outbox.stats.waiting == 0):
                self._work.clear()
                now = time.monotonic()
                due = outbox.next_at(now, self._flushing > 0 or self._closed)
                if len(self._sending) >= self._calls or due is None:
                    await self._work.wait()
                elif due > now:
                    timer = loop.call_later(due - now, self._work.set)
                    try:
                        await self._work.wait()
                    finally:
                        timer.cancel()
                elif messages := outbox.take(now):
                    task = asyncio.ensure_future(self._send(messages))
                    self._sending[task] = messages
                    task.add_done_callback(self._sent)
                else:
                    await asyncio.sleep(0)
        finally:
            if self._sending:
                await asyncio.gather(*self._sending, return_exceptions=True)

    def _sent(self, task: asyncio.Task[None]) -> None:
        # What the end of the event loop has broken off, perhaps before it began, waits again.
        self._outbox.take_back(self._sending.pop(task, []))
        self._work.set()
        self._left.set()

    async def _send(self, messages: list[Message]) -> None:
        """Make a call, and decide what becomes of each of its messages."""
        outbox = self._outbox
        error: PredcacheError | None = None
        answer: Any = None
        try:
            answer = await self._service.once("SendMessageBatch", outbox.request(messages), self._timeout)
        except PredcacheError as err:
            error = err
        except Exception as err:  # noqa: BLE001 # what waits must not be stranded
            error = NetworkError("SendMessageBatch", f"{type(err).__name__}: {err}")
        halves = self._settle(messages, answer, error)
        self._left.set()
        for half in halves:
            await self._send(half)

    def _settle(
        self, messages: list[Message], answer: Any, error: PredcacheError | None
    ) -> list[list[Message]]:
        """Decide about a call's messages, report those given up, and return what to call instead."""
        halves = self._outbox.answered(messages, answer, error)
        self._report_failed()
        return halves

    def _report_failed(self) -> None:
        failed = self._outbox.take_failures()
        self._failures.report([failure for failure, _ in failed])
        self._outbox.reported(failed)

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until everything taken so far was sent or given up: see ``predcache.Publisher.flush``."""
        try:
            await asyncio.wait_for(self._drain(), timeout)
        except asyncio.TimeoutError as err:
            raise TimeoutError(still_waiting(self.stats())) from err
        self._failures.raise_kept()

    async def _drain(self) -> None:
        outbox = self._outbox
        epoch = outbox.begin_flush()
        self._flushing += 1
        self._work.set()
        try:
            while not outbox.flushed(epoch):
                self._left.clear()
                await self._left.wait()
        finally:
            self._flushing -= 1

    async def close(self, timeout: float | None = None) -> None:
        """Send what waits and end the Publisher: see ``predcache.Publisher.close``."""
        if self._closed:
            return
        self._closed = True
        self._work.set()
        self._left.set()
        try:
            await asyncio.wait_for(self._drain(), timeout)
        except asyncio.TimeoutError:
            await self._end_pump()
            self._outbox.abandon(ClosedError("the publisher was closed before it was sent"))
            self._report_failed()
        await self._end_pump()
        _open.discard(self)
        await self._service.close()
        self._failures.raise_kept()

    async def _end_pump(self) -> None:
        tasks = [task for task in (self._pump, *self._sending) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stats(self) -> PublisherStats:
        """Return the counts since the start, in this process."""
        return dataclasses.replace(self._outbox.stats)

    def send_at_exit(self) -> None:
        """Send what an event loop has left, without one."""
        outbox = self._outbox
        if outbox.stats.waiting == 0:
            return
        service = self._service.blocking()
        for messages in self._sending.values():
            outbox.take_back(messages)
        outbox.begin_flush()
        while outbox.stats.waiting:
            now = time.monotonic()
            due = outbox.next_at(now, True)
            if due is None:
                break
            if due > now:
                time.sleep(due - now)
            pending = [messages] if (messages := outbox.take(time.monotonic())) else []
            while pending:
                messages = pending.pop()
                answer, error = None, None
                try:
                    answer = service.once("SendMessageBatch", outbox.request(messages), self._timeout)
                except PredcacheError as err:
                    error = err
                pending += self._settle(messages, answer, error)


_open: set[Publisher] = set()  # those with something to send, which must not be forgotten before


def _send_all() -> None:
    for publisher in list(_open):
        with contextlib.suppress(PredcacheError):
            publisher.send_at_exit()


atexit.register(_send_all)
