"""Publishes predictions to the queue that the worker consumes."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal

from predcache import _contract as contract
from predcache import _exit, _fork
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
from predcache._signed import Service, Settings, queue_region
from predcache.errors import (
    BufferFullError,
    ClosedError,
    InvalidPredictionError,
    NetworkError,
    PredcacheError,
)
from predcache.rules import Rules

__all__ = ["Failure", "Publisher", "PublisherStats"]


class Publisher:
    """Publishes predictions to the worker's queue, in full calls, from a thread of its own.

    ``publish`` checks a prediction, takes it and returns; it waits only while the buffer is full. What a
    call doesn't accept is sent again by itself, so a message may be sent twice, which the worker makes
    nothing of. Whatever was taken is sent when the Publisher is closed, and when the interpreter exits
    without: lost is only what waits when the process is ended by SIGKILL, ``os._exit``, or another
    signal that it doesn't handle. Many threads may use it at once. In a forked process it starts anew,
    and what waited before the fork is the parent's to send.

    Args:
        queue_url: The queue's URL.
        session: A botocore or boto3 session with credentials and region; None for botocore's own. The
            region is the one that the queue's URL names, or else the session's.
        pack: Put many predictions into a message, one a line, up to the 64 KB that SQS bills as one
            request: of 1 KB each, 60 a message and 600 a call.
        linger: How many seconds a prediction waits for others to fill its call.
        rules: What the worker and the table take, where that differs from their defaults.
        nan: ``"error"`` refuses NaN and infinities; ``"null"`` publishes null in their place.
        on_failure: Called with each message that was given up, by the thread that sent it: it must not
            publish or wait. Without it, they are logged, and raised by the next ``flush`` or ``close``.
        buffer: How many bytes may wait to be sent or be sent, 16 MiB; 2 MiB at least.
        calls: How many calls may be under way at once.
        attempts: How often a message is tried before it is given up: about 6 seconds of backoff.
        timeout: How many seconds an attempt may take.
        endpoint_url: In place of the endpoint that botocore finds.
        config: A botocore ``Config``: proxies, connections.

    Raises:
        ConfigurationError: There is no region, an argument is wrong, or botocore refuses its settings.
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
        settings = Settings("sqs", session, endpoint_url, config, queue_region(queue_url))
        self._service = Service(settings, calls)
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
        _exit.watch(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()  # of everything below
        self._work = threading.Condition(self._lock)  # a call may have become due
        self._room = threading.Condition(self._lock)  # something was sent or given up
        self._outbox = Outbox(*self._queue)
        self._threads: list[threading.Thread] = []
        self._idle = 0  # threads that wait for work
        self._flushing = 0
        self._failures = Failures(self._on_failure, self._buffer)

    def after_fork(self) -> None:
        """Leave the parent's predictions, threads and locks to the parent."""
        self._begin()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def publish(
        self,
        id: Any,  # noqa: A002
        payload: Any,
        *,
        timestamp: Any = None,
        ttl: float | datetime.timedelta | None = None,
        expires_at: Any = None,
        **attributes: Any,
    ) -> None:
        """Take a prediction to be sent soon.

        Args:
            id: What services look it up by: a string of 1 to 2,048 bytes or a UUID; a number where the
                table's hash key is one.
            payload: The result: whatever is JSON, and Decimal, datetimes, UUIDs, enums, dataclasses,
                pydantic models, numpy scalars and arrays. Integers and Decimals keep their digits.
            timestamp: When the event was, as a datetime with its zone, RFC 3339 text, or a number of
                seconds, ms, us or ns since 1970. None is now. It decides which of two predictions of an
                id is newer, and a repeat that has the same one is recognised as a repeat.
            ttl: How long it lives after ``timestamp``, in seconds; None leaves it to the worker.
            expires_at: When its life ends, in place of ``ttl``, in the forms of ``timestamp``.
            **attributes: What else is to be kept with it, such as the model.

        Raises:
            InvalidPredictionError: The worker would reject it.
            ClosedError: The Publisher is closed.
        """
        self._add(self._encoder.line(id, payload, timestamp, ttl, expires_at, attributes))

    def delete(
        self,
        id: Any,  # noqa: A002
        *,
        timestamp: Any = None,
        ttl: float | datetime.timedelta | None = None,
        expires_at: Any = None,
    ) -> None:
        """Take a delete to be sent soon, in order with the predictions.

        It hides every prediction of the id whose event time is not after ``timestamp``; one with a later
        event time is visible. The worker accepts deletes under ``WORKER_DELETES=hide`` or ``remove``, and
        rejects them else, which the Publisher can't know.

        Args:
            id: The id, as in ``publish``.
            timestamp: The time as of which the id is deleted, in the forms of ``publish``. None is now.
            ttl: How long the delete itself lives, in seconds from the later of ``timestamp`` and now;
                ``WORKER_TTL`` at least. None leaves it to the worker: ``WORKER_TOMBSTONE_TTL``, which is 14
                days or more. A prediction that lives longer is visible again afterwards.
            expires_at: When its life ends, in place of ``ttl``, in the forms of ``timestamp``.

        Raises:
            InvalidPredictionError: The worker would reject it.
            ClosedError: The Publisher is closed.
        """
        self._add(self._encoder.delete(id, timestamp, ttl, expires_at))

    def publish_json(self, text: str) -> None:
        """Take a JSON object that is a prediction or a delete, in the form of ``docs/data-model.md``.

        Raises:
            InvalidPredictionError: The worker would reject it.
            ClosedError: The Publisher is closed.
        """
        self._add(self._encoder.raw_line(text))

    def publish_many(
        self,
        predictions: Iterable[Mapping[str, Any] | tuple[Any, ...]],
        *,
        on_invalid: Callable[[InvalidPredictionError], object] | None = None,
    ) -> int:
        """Take many predictions, as they come, and return how many were taken.

        Args:
            predictions: Each a mapping of the arguments of ``publish`` (``id``, ``payload``, and what
                else is known), or a tuple of id, payload and perhaps timestamp. A mapping with
                ``deleted`` True is a delete: of it only ``id``, ``timestamp``, ``ttl`` and ``expires_at``
                are sent.
            on_invalid: Called with the error of each one that the worker would reject, and then the
                others are taken. Without it the error is raised, and what came before it was taken.

        Raises:
            InvalidPredictionError: The worker would reject one: ``row`` tells which.
            ClosedError: The Publisher is closed.
        """
        taken = 0
        for line in self._encoder.lines(predictions, on_invalid):
            self._add(line)
            taken += 1
        return taken

    def publish_frame(
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
        """Take a prediction of each row of a pandas or polars DataFrame; return how many were taken.

        It reads the columns in chunks of 10,000 rows. Missing values are NaN to pandas, so they are
        errors that name row and column, or null under ``nan="null"``.

        Args:
            frame: The DataFrame.
            id: The column of the id.
            payload: The column of the result; or several, which become an object.
            timestamp: The column of the event time, of datetimes with a zone or of numbers.
            ttl: The column of the life in seconds.
            attributes: Columns that are kept as attributes. Where a column ``deleted`` of booleans is
                True, the row is a delete.
            on_invalid: As in ``publish_many``.
            **constants: Attributes that are the same in each row.

        Raises:
            InvalidPredictionError: The worker would reject a row.
            TypeError: It is no DataFrame of pandas or polars.
            KeyError: It has no such column.
            ClosedError: The Publisher is closed.
        """
        rows = rows_of(frame, id, payload, timestamp, ttl, list(attributes), constants)
        return self.publish_many(rows, on_invalid=on_invalid)

    def offer(self, line: bytes) -> None:
        """Take a line without waiting: where there is no room it is a failure."""
        try:
            self._add(line, block=False)
        except (BufferFullError, ClosedError) as err:
            with self._lock:
                self._outbox.stats.failed += 1
            self._failures.report([Failure(err, 1, line.decode())])

    def _add(self, line: bytes, block: bool = True) -> None:
        cost = len(line) + OVERHEAD
        with self._lock:
            while not self._closed and self._outbox.bytes + cost > self._buffer:
                if not block:
                    raise BufferFullError
                self._flushing += 1  # what is there has to leave, however young
                self._work.notify()
                self._room.wait()
                self._flushing -= 1
            if self._closed:
                raise ClosedError("the publisher is closed")
            if self._outbox.add(line):
                self._wake()

    def _wake(self) -> None:
        """Have a thread look for what is due. The lock is held."""
        if self._idle:
            self._work.notify()
        elif len(self._threads) < self._calls:
            _exit.watch_process()
            thread = threading.Thread(
                target=self._send_until_closed,
                args=(self._outbox,),
                name=f"predcache-publisher-{len(self._threads)}",
                daemon=True,  # so that the interpreter gets to atexit, which sends what waits
            )
            # While the interpreter exits no thread can start: _exit sends what waits.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._threads.append(thread)

    def _send_until_closed(self, outbox: Outbox) -> None:
        """Run a sending thread, which ends when the Publisher was closed and nothing is left."""
        while True:
            with self._lock:
                messages: list[Message] = []
                while not messages:
                    now = time.monotonic()
                    due = outbox.next_at(now, self._flushing > 0 or self._closed)
                    if due is not None and due <= now:
                        messages = outbox.take(now)
                    elif due is None and self._closed:
                        return
                    else:
                        self._idle += 1
                        self._work.wait(None if due is None else due - now)
                        self._idle -= 1
                if outbox.next_at(now, False) is not None:
                    self._wake()  # there is more than one call can carry
            self._send(outbox, messages)

    def _send(self, outbox: Outbox, messages: list[Message]) -> None:
        """Make a call, and decide what becomes of each of its messages."""
        error: PredcacheError | None = None
        answer: Any = None
        try:
            body = outbox.request(messages)
            answer = self._service.once("SendMessageBatch", body, self._timeout)
        except PredcacheError as err:
            error = err
        except Exception as err:  # noqa: BLE001 # a sender that ends would strand what waits
            error = NetworkError("SendMessageBatch", f"{type(err).__name__}: {err}")
        with self._lock:
            halves = outbox.answered(messages, answer, error)
            failed = outbox.take_failures()
            self._room.notify_all()
        if failed:
            self._failures.report([failure for failure, _ in failed])
            with self._lock:  # only now, so that flush() finds that they were reported
                outbox.reported(failed)
                self._room.notify_all()
        for half in halves:
            self._send(outbox, half)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything taken so far was sent or given up.

        Args:
            timeout: How many seconds to wait at most; None is as long as it takes.

        Raises:
            PublishError: Without ``on_failure``: predictions were given up since the last flush.
            TimeoutError: Some still wait after ``timeout``. They go on being sent.
        """
        if not self._drain(timeout):
            raise TimeoutError(still_waiting(self.stats()))
        self._failures.raise_kept()

    def _drain(self, timeout: float | None) -> bool:
        """Wait until what was taken so far was sent, and tell whether it was in time.

        Where no thread sends, the calling one does: when the interpreter exits no other can be started.
        """
        end = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            outbox = self._outbox
            epoch = outbox.begin_flush()
            self._flushing += 1
            self._work.notify_all()
        try:
            while True:
                with self._lock:
                    if outbox.flushed(epoch):
                        return True
                    now = time.monotonic()
                    if end is not None and now >= end:
                        return False
                    due = outbox.next_at(now, True)
                    if due is None or due > now or any(thread.is_alive() for thread in self._threads):
                        waits = [t - now for t in (due, end) if t is not None and t > now]
                        self._room.wait(min([1.0, *waits]))
                        continue
                    messages = outbox.take(now)
                if messages:
                    self._send(outbox, messages)
        finally:
            with self._lock:
                self._flushing -= 1

    def close(self, timeout: float | None = None) -> None:
        """Send what waits and end the Publisher. A second call does nothing.

        Args:
            timeout: How many seconds to wait at most; what then still waits is given up.

        Raises:
            PublishError: Without ``on_failure``: predictions were given up since the last flush.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._work.notify_all()
            self._room.notify_all()
        _exit.forget(self)
        if not self._drain(timeout):
            with self._lock:
                self._outbox.abandon(ClosedError("the publisher was closed before it was sent"))
                failed = self._outbox.take_failures()
                self._work.notify_all()
            self._failures.report([failure for failure, _ in failed])
            with self._lock:
                self._outbox.reported(failed)
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join(self._timeout + 1 if timeout is None else max(timeout, 0.1))
        self._service.close()
        self._failures.raise_kept()

    def stats(self) -> PublisherStats:
        """Return the counts since the start, in this process."""
        with self._lock:
            return dataclasses.replace(self._outbox.stats)
