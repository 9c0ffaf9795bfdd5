"""Fills messages with predictions, and calls with messages. It calls nothing: a Publisher does."""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from predcache import _contract as contract
from predcache._arguments import Arguments
from predcache._json import quoted, quoted_bytes
from predcache._message import body_of
from predcache.errors import NetworkError, PredcacheError, PublishError, ServiceError, counted
from predcache.rules import Rules

logger = logging.getLogger("predcache")

OVERHEAD = 256  # about what a prediction takes in memory beside its text

# Codes of calls that are refused for what one of their messages holds ("SendMessageBatch").
_FOR_CONTENT = frozenset(
    {
        "AWS.SimpleQueueService.BatchRequestTooLong",
        "BatchRequestTooLong",
        "InvalidMessageContents",
        "InvalidParameterValue",
        "InvalidParameterValueException",
        "MissingParameter",
        "SerializationException",
        "UnsupportedOperation",
        "AWS.SimpleQueueService.UnsupportedOperation",
    }
)


@dataclass
class Failure:
    """A message that was given up.

    Attributes:
        error: Why.
        predictions: How many were in it.
        body: The message: a JSON object, or several one a line.
    """

    error: PredcacheError
    predictions: int
    body: str


@dataclass
class PublisherStats:
    """Counts since the start.

    Attributes:
        predictions: Predictions that SQS has accepted.
        messages: Messages that SQS has accepted.
        calls: Calls of SendMessageBatch, also those that failed.
        failed: Predictions that were given up.
        waiting: Predictions that wait to be sent or are being sent.
    """

    predictions: int = 0
    messages: int = 0
    calls: int = 0
    failed: int = 0
    waiting: int = 0


def check_publisher(numbers: dict[str, Any], rules: Any, on_failure: Any) -> None:
    """Check the arguments of a Publisher, of which ``numbers`` are those that are numbers.

    Raises:
        ConfigurationError: Something is wrong.
    """
    arguments = Arguments("Publisher")
    arguments.at_least("linger", numbers["linger"], 0)
    for name in ("buffer", "calls", "attempts"):
        arguments.at_least(name, numbers[name], 1, Integral)
    arguments.above_zero("timeout", numbers["timeout"])
    arguments.instance("rules", rules, Rules, "give Rules, or None")
    if on_failure is not None and not callable(on_failure):
        arguments.wrong("on_failure", on_failure, "give a function of one Failure, or None")
    arguments.check()


def still_waiting(stats: PublisherStats) -> str:
    """Return the text of the error that a flush was not in time."""
    what = counted(stats.waiting, "prediction")
    return f"{what} still {'waits' if stats.waiting == 1 else 'wait'} to be sent"


class Failures:
    """Reports messages that were given up: to a function or, without one, by the log and an exception.

    Args:
        on_failure: The function.
        limit: How many bytes of bodies are kept for the exception. Beyond it they are dropped.
    """

    def __init__(self, on_failure: Callable[[Failure], object] | None, limit: int) -> None:
        self._on_failure = on_failure
        self._limit = limit
        self._lock = threading.Lock()  # of everything below
        self._bytes = 0
        self._kept: list[Failure] = []

    def report(self, failures: list[Failure]) -> None:
        """Report failures."""
        for failure in failures:
            if self._on_failure is None:
                logger.error("gave up %s: %s", counted(failure.predictions, "prediction"), failure.error)
                self._keep(failure)
                continue
            try:
                self._on_failure(failure)
            except Exception:
                logger.exception("on_failure raised")

    def _keep(self, failure: Failure) -> None:
        with self._lock:
            self._bytes += len(failure.body)
            if self._bytes > self._limit:
                failure = Failure(failure.error, failure.predictions, "")
            self._kept.append(failure)

    def raise_kept(self) -> None:
        """Raise a PublishError of what was kept, once.

        Raises:
            PublishError: There were some.
        """
        with self._lock:
            failures, self._kept, self._bytes = self._kept, [], 0
        if failures:
            raise PublishError(failures)


class Message:
    """A message that is filled, or sent."""

    __slots__ = (
        "_body",
        "_lines",
        "attempts",
        "cost",
        "epoch",
        "not_before",
        "predictions",
        "sending",
        "since",
        "size",
    )

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch  # of flushes: see Outbox.epoch
        self.predictions = 0
        self.size = 0  # bytes of the body
        self.cost = 0  # bytes of the buffer
        self.since = time.monotonic()  # when its first prediction came
        self.attempts = 0
        self.not_before = 0.0
        self.sending = False  # taken for a call, and not settled yet
        self._lines: list[bytes] = []
        self._body: str | None = None

    def add(self, line: bytes) -> None:
        """Append a prediction."""
        self.size += len(line) + (1 if self._lines else 0)
        self.cost += len(line) + OVERHEAD
        self.predictions += 1
        self._lines.append(line)

    @property
    def body(self) -> str:
        """The text that SQS gets. Nothing may be added after it was asked for."""
        if self._body is None:
            self._body = body_of(self._lines)
            self._lines = []
        return self._body


class Outbox:
    """What waits to be sent. Its owner has the lock, or is alone.

    Args:
        queue_url: The queue.
        pack: Whether predictions share messages.
        linger: How many seconds a prediction waits for others.
        attempts: How often a message is tried.
    """

    def __init__(self, queue_url: str, pack: bool, linger: float, attempts: int) -> None:
        self._head = f'{{"QueueUrl":{quoted(queue_url)},"Entries":['.encode()
        self._fifo = queue_url.endswith(".fifo")
        self._pack = pack
        self._linger = linger
        self._attempts = attempts
        self._open: Message | None = None
        self._ready: deque[Message] = deque()
        self._again: list[Message] = []  # each with the time of its next attempt
        self.epoch = 0  # grows with each flush, so that a flush doesn't wait for what comes later
        self._pending: Counter[int] = Counter()  # messages by epoch, until they are sent or given up
        self.bytes = 0  # of all that waits or is being sent
        self.stats = PublisherStats()
        self._failed: list[tuple[Failure, Message]] = []  # not taken to be reported yet

    def add(self, line: bytes) -> bool:
        """Take a prediction, and tell whether that may make a call due."""
        size = len(line)
        self.bytes += size + OVERHEAD
        self.stats.waiting += 1
        m = self._open
        wake = m is None
        if m is not None and m.size + 1 + size > contract.PACK_BYTES:
            self.seal()
            m, wake = None, True
        if m is None:
            m = self._open = Message(self.epoch)
            self._pending[self.epoch] += 1
        m.add(line)
        if not self._pack:
            self.seal()
            # The first one starts the linger, the tenth fills a call.
            return len(self._ready) == 1 or len(self._ready) >= contract.MAX_ENTRIES
        return wake

    def begin_flush(self) -> int:
        """End the message that is being filled, and return the epoch of all that was taken so far."""
        self.seal()
        self.epoch += 1
        return self.epoch - 1

    def flushed(self, epoch: int) -> bool:
        """Tell whether everything up to an epoch was sent or given up."""
        return all(pending > epoch for pending in self._pending)

    def seal(self) -> None:
        """End the message that is being filled."""
        if self._open is not None:
            self._ready.append(self._open)
            self._open = None

    def next_at(self, now: float, flushing: bool) -> float | None:
        """Return when the next call is due: now or earlier for at once, None for never."""
        due = min((m.not_before for m in self._again), default=None)
        waiting = self._ready[0].since if self._ready else self._open.since if self._open else None
        if waiting is None:
            return due
        if flushing or len(self._ready) >= contract.MAX_ENTRIES:
            return now
        at = waiting + self._linger
        return at if due is None else min(at, due)

    def take(self, now: float) -> list[Message]:
        """Take the messages of one call: those that are due again first."""
        taken: list[Message] = []
        room = contract.MAX_MESSAGE
        for m in [m for m in self._again if m.not_before <= now]:
            if len(taken) < contract.MAX_ENTRIES and m.size <= room:
                self._again.remove(m)
                taken.append(m)
                room -= m.size
        if len(self._ready) + len(taken) < contract.MAX_ENTRIES:
            self.seal()
        while self._ready and len(taken) < contract.MAX_ENTRIES and self._ready[0].size <= room:
            m = self._ready.popleft()
            taken.append(m)
            room -= m.size
        for m in taken:
            m.sending = True
        return taken

    def take_back(self, messages: list[Message]) -> None:
        """Have messages sent again whose call was broken off: they may be sent twice."""
        for m in messages:
            if m.sending:
                m.sending = False
                m.not_before = 0.0
                self._again.append(m)

    def request(self, messages: list[Message]) -> bytes:
        """Return the body of a SendMessageBatch."""
        entries = []
        for i, m in enumerate(messages):
            body = m.body
            more = b""
            if self._fifo:
                # The worker goes by event time: each message is a group of its own, and one that is
                # sent twice within 5 minutes is taken once.
                digest = hashlib.sha256(body.encode()).hexdigest()
                more = f',"MessageGroupId":"{digest[:16]}","MessageDeduplicationId":"{digest}"'.encode()
            entries.append(b'{"Id":"%d","MessageBody":%b%b}' % (i, quoted_bytes(body), more))
        return self._head + b",".join(entries) + b"]}"

    def answered(
        self, messages: list[Message], answer: Any, error: PredcacheError | None
    ) -> list[list[Message]]:
        """Decide what becomes of the messages of a call, and return what to call at once instead."""
        self.stats.calls += 1
        if error is not None:
            return self.failed(messages, error)
        self.settle(messages, answer)
        return []

    def settle(self, messages: list[Message], answer: dict[str, Any]) -> None:
        """Go by the answer's entries: a message that it doesn't name was not accepted."""
        left = dict(enumerate(messages))
        for entry in answer.get("Successful") or ():
            m = left.pop(int(entry["Id"]), None)
            if m is not None:
                self.stats.messages += 1
                self.stats.predictions += m.predictions
                self._done(m)
        for entry in answer.get("Failed") or ():
            m = left.pop(int(entry["Id"]), None)
            if m is None:
                continue
            code, text = str(entry.get("Code", "")), str(entry.get("Message", ""))
            error = ServiceError("SendMessageBatch", code, text, 400 if entry.get("SenderFault") else 500)
            if entry.get("SenderFault"):
                self.give_up(m, error)
            else:
                self.retry([m], error)
        if left:
            self.retry(
                list(left.values()),
                NetworkError("SendMessageBatch", "SQS did not answer for the message"),
            )

    def failed(self, messages: list[Message], error: PredcacheError) -> list[list[Message]]:
        """Handle a call that failed as a whole, and return what to call at once instead.

        Where it was refused for what one of its messages holds, that one must not take the others with
        it: each half is sent by itself.
        """
        if not (isinstance(error, ServiceError) and error.code in _FOR_CONTENT):
            self.retry(messages, error)
            return []
        if len(messages) == 1:
            self.give_up(messages[0], error)
            return []
        half = len(messages) // 2
        return [messages[:half], messages[half:]]

    def retry(self, messages: list[Message], error: PredcacheError) -> None:
        """Have messages tried again, after a backoff with full jitter, unless that was often enough."""
        for m in messages:
            m.attempts += 1
            if m.attempts >= self._attempts:
                self.give_up(m, error)
            else:
                wait = random.uniform(0, min(5.0, 0.1 * 2**m.attempts))  # noqa: S311
                m.sending = False
                m.not_before = time.monotonic() + wait
                self._again.append(m)

    def give_up(self, m: Message, error: PredcacheError) -> None:
        """Give a message up. It is waited for until it was reported."""
        m.sending = False
        self.stats.failed += m.predictions
        self._failed.append((Failure(error, m.predictions, m.body), m))

    def take_failures(self) -> list[tuple[Failure, Message]]:
        """Take what has to be reported, and then handed to ``reported``."""
        failed, self._failed = self._failed, []
        return failed

    def reported(self, failed: list[tuple[Failure, Message]]) -> None:
        """Wait no longer for what was given up."""
        for _, m in failed:
            self._done(m)

    def _done(self, m: Message) -> None:
        m.sending = False
        self.bytes -= m.cost
        self.stats.waiting -= m.predictions
        self._pending[m.epoch] -= 1
        if not self._pending[m.epoch]:
            del self._pending[m.epoch]

    def abandon(self, error: PredcacheError) -> None:
        """Give up everything that is not being sent."""
        self.seal()
        for m in [*self._again, *self._ready]:
            self.give_up(m, error)
        self._again.clear()
        self._ready.clear()
