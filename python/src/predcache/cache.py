"""Reads the predictions of a table."""

from __future__ import annotations

import contextlib
import datetime
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from decimal import Decimal
from numbers import Integral
from types import TracebackType
from typing import Any, TypeVar
from uuid import UUID

from predcache import _fork, _times
from predcache._arguments import Arguments
from predcache._computed import Computed, prediction_of
from predcache._flights import Flights
from predcache._many import Many
from predcache._query import Call, Pause
from predcache._reads import MAX_BATCH_GET, Reads
from predcache._signed import Service, Settings
from predcache.errors import (
    CallError,
    ClosedError,
    ConfigurationError,
    ItemError,
    ServiceError,
)
from predcache.front import Front
from predcache.layout import Kind, Layout
from predcache.prediction import Prediction
from predcache.publisher import Publisher
from predcache.rules import Rules

__all__ = ["Cache", "Id", "Time"]

T = TypeVar("T")
Id = str | int | Decimal | UUID
"""An id: a string or a UUID, or a number where the table's hash key is one."""
Time = datetime.datetime | str | int | float | Decimal
"""An event time: a datetime with its zone, RFC 3339 text, or a number since 1970, as in messages."""


def check_cache(table: Any, front: Any, publisher: Any, of: type, layout: Any, concurrency: Any) -> None:
    """Check the arguments of a Cache, whose publisher has to be an ``of``.

    Raises:
        ConfigurationError: Something is wrong.
    """
    arguments = Arguments("Cache")
    if not isinstance(table, str) or not table:
        arguments.wrong("table", table, "give the table's name or ARN")
    arguments.instance("front", front, Front, "give a Front, such as Front(max_age=10), or None")
    arguments.instance("publisher", publisher, of, f"give a {of.__module__.rpartition('.')[0]}.Publisher")
    arguments.instance("layout", layout, (str, Layout), "give the name of a layout, a Layout, or None")
    arguments.at_least("concurrency", concurrency, 1, Integral)
    arguments.check()


class Cache:
    """Reads the newest live predictions of one table. Many threads may use it at once.

    An expired prediction is a miss, though DynamoDB deletes it up to days late. The table's layout is
    asked for at the first read, unless ``layout`` tells it. It calls GetItem, BatchGetItem, Query, and
    once DescribeTable and DescribeTimeToLive.

    Args:
        table: The table's name or ARN.
        session: A botocore or boto3 session with credentials and region; None for botocore's own.
        front: A memory in this process; None asks the table at each read.
        publisher: Where ``get_or_compute`` publishes.
        layout: The table's layout, for roles that may not describe it.
        decimals: Decode fractions to Decimal, with every digit, and not to float.
        consistent: Strongly consistent reads: they see every write that has ended, for twice the units.
        uniform_life: All predictions of an id live equally long. In the expiry-sorted layout the newest
            is then the one that expires last, and one item is read instead of all that are live.
        skip_foreign: Take items that predcache did not write, which have no createdAt, for misses. Without
            it they are an ``ItemError``.
        concurrency: How many calls of one ``get_many`` are under way at once.
        endpoint_url: In place of the endpoint that botocore finds.
        config: A botocore ``Config``: timeouts, attempts, proxies.

    Raises:
        ConfigurationError: An argument is wrong, there is no region, or botocore refuses its settings.
    """

    def __init__(
        self,
        table: str,
        *,
        session: Any = None,
        front: Front | None = None,
        publisher: Publisher | None = None,
        layout: Layout | Kind | None = None,
        decimals: bool = False,
        consistent: bool = False,
        uniform_life: bool = False,
        skip_foreign: bool = False,
        concurrency: int = 16,
        endpoint_url: str | None = None,
        config: Any = None,
    ) -> None:
        check_cache(table, front, publisher, Publisher, layout, concurrency)
        known = Layout.of(layout) if isinstance(layout, str) else layout
        self._reads = Reads(table, known, decimals, consistent, uniform_life, skip_foreign)
        settings = Settings("dynamodb", session, endpoint_url, config)
        self._service = Service(settings, max(concurrency, settings.config.max_pool_connections))
        self._front = front
        self._publisher = publisher
        self._concurrency = concurrency
        self._flights: Flights[Prediction | None] = Flights()
        self._computing: Flights[Prediction] = Flights()
        self._computed = Computed(front)
        self._lock = threading.Lock()  # of the executor, and of asking for the layout
        self._executor: ThreadPoolExecutor | None = None
        self._closed = False
        _fork.watch(self)

    def after_fork(self) -> None:
        """Leave the parent's threads to the parent."""
        self._lock = threading.Lock()
        self._executor = None

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. The publisher is its owner's to close."""
        self._closed = True
        with self._lock:
            if self._executor is not None:
                self._executor.shutdown(wait=True, cancel_futures=True)
        self._service.close()

    @property
    def layout(self) -> Layout:
        """The table's layout, which may have to be asked for.

        Raises:
            CallError: The table could not be asked.
            ConfigurationError: It has no layout of predcache's.
        """
        return self._rules().layout

    def get(self, id: Id) -> Prediction | None:  # noqa: A002
        """Return the newest live prediction of an id, or None.

        It costs a GetItem in the latest-only layout. In the versioned one it is a Query of one item, and
        of more only where that has expired. In the expiry-sorted one it reads all live versions of the
        id, or one under ``uniform_life``.

        Raises:
            InvalidPredictionError: No item can have this id.
            ItemError: The item can't be read.
            CallError: The table could not be asked.
        """
        rules = self._reads.rules or self._rules()
        key = id if type(id) is str and not rules.layout.numeric else rules.read_key(id)
        if self._front is not None:
            known, prediction = self._front.lookup(key)
            if known:
                return prediction
        rules.read_key(id)
        return self._fetch(key)

    def _fetch(self, key: str) -> Prediction | None:
        """Ask the table; with a front, once for all threads that want the id at the moment."""

        def read() -> Prediction | None:
            sent = time.monotonic()
            return self._computed.read(key, self._run(self._reads.newest(key)), sent)

        return read() if self._front is None else self._flights.do(key, read)

    def get_many(self, ids: Iterable[Id]) -> dict[Any, Prediction | None]:
        """Return the newest live prediction of each id, by id and in their order; None is a miss.

        An id that is there twice is asked once. In the latest-only layout it asks for a hundred ids a
        call; otherwise it makes a Query of each, ``concurrency`` at a time.

        Raises:
            InvalidPredictionError: No item can have one of the ids. Nothing was asked.
            TypeError: ``ids`` is a single string.
            PartialError: Some could not be read: it has the others. After a call that failed no other
                call is begun.
            CallError: The table could not be asked for its layout.
        """
        many = Many(self._rules(), self._front, self._computed)
        many.add(ids)
        chunks = many.chunks(self._reads.layout, MAX_BATCH_GET)
        if len(chunks) == 1:
            with contextlib.suppress(CallError):  # which many has
                self._read_chunk(many, chunks[0])
        elif chunks:
            self._read_chunks(many, chunks)
        return many.result()

    def _read_chunks(self, many: Many, chunks: list[list[str]]) -> None:
        futures = [self._pool().submit(self._read_chunk, many, chunk) for chunk in chunks]
        _, unfinished = wait(futures, return_when=FIRST_EXCEPTION)
        for future in unfinished:
            future.cancel()
        wait(unfinished)
        failed = next((f.exception() for f in futures if not f.cancelled() and f.exception()), None)
        if isinstance(failed, CallError):
            many.failed(many.wanted, failed)
        elif failed is not None:
            raise failed

    def _read_chunk(self, many: Many, keys: list[str]) -> None:
        try:
            if self._reads.layout.sort_key is None:
                self._run(self._reads.batch(keys, many.answered, many.errors))
            else:
                many.answered[keys[0]] = self._run(self._reads.newest(keys[0]))
        except ItemError as err:
            many.failed(keys, err)
        except CallError as err:
            many.failed(keys, err)
            raise
        many.read(keys)

    def history(
        self,
        id: Id,  # noqa: A002
        since: Time | None = None,
        until: Time | None = None,
        *,
        oldest_first: bool = False,
    ) -> Iterator[Prediction]:
        """Yield the live predictions of an id, newest first, page by page as they are asked for.

        In the expiry-sorted layout all live versions are read and put in order first, unless
        ``uniform_life`` says that they are. In the latest-only layout there is at most one.

        Args:
            id: The id.
            since: The first event time that is wanted; None is no bound.
            until: The first event time that is not wanted any more; None is no bound.
            oldest_first: The order.

        Raises:
            InvalidPredictionError: No item can have this id, or a bound is no time.
            ItemError: An item can't be read.
            CallError: The table could not be asked.
        """
        rules = self._rules()
        steps = self._reads.history(
            rules.read_key(id),
            None if since is None else _times.parse(since, "since"),
            None if until is None else _times.parse(until, "until"),
            oldest_first,
        )
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration:
                return
            answer = None
            if isinstance(step, Call):
                answer = self._call(step)
            else:
                yield step

    def get_or_compute(self, id: Id, fn: Callable[[], Any], **options: Any) -> Prediction:  # noqa: A002
        """Return the newest live prediction of an id or, on a miss, what ``fn`` computes.

        The result is returned at once, and published for the worker to write, which takes about a
        second; the caller doesn't wait for it. Until then this process remembers it, for 30 seconds or
        the front's age. One computation of an id is under way at a time in a process, and its result
        goes to every caller that waits for it.

        Args:
            id: The id.
            fn: Returns the payload. It bounds itself in time. What it raises is raised here, in every
                caller that waits, and nothing is published.
            **options: For ``Publisher.publish``: timestamp, ttl, expires_at, and attributes.

        Raises:
            ConfigurationError: The Cache has no publisher.
            InvalidPredictionError: The worker would reject what was computed. Nothing was published.
            ItemError: The item can't be read.
            CallError: The table could not be asked.
        """
        publisher = self._publisher
        if publisher is None:
            raise ConfigurationError("get_or_compute needs a Cache with a publisher")
        key = self._rules().read_key(id)
        prediction = self._computed.known(key)
        if prediction is not None:
            return prediction
        return self._computing.do(key, lambda: self._compute(key, id, fn, options, publisher))

    def _compute(
        self,
        key: str,
        id_: Id,
        fn: Callable[[], Any],
        options: dict[str, Any],
        publisher: Publisher,
    ) -> Prediction:
        prediction = self._computed.get(key) or self._fetch(key)
        if prediction is not None:
            return prediction
        payload = fn()
        rules = self._rules()
        made = prediction_of(self._reads, rules, key, id_, payload, options, publisher.nan)
        publisher.offer(made.line)
        self._computed.put(key, made.prediction)
        return made.prediction

    def _rules(self) -> Rules:
        rules = self._reads.rules
        if rules is not None:
            return rules
        with self._lock:
            return self._reads.rules or self._run(self._reads.discover())

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._concurrency, "predcache")
            return self._executor

    def _call(self, call: Call) -> Any:
        if self._closed:
            raise ClosedError("the cache is closed")
        try:
            return self._service.call(call.operation, call.body)
        except ServiceError as err:
            if (wrong := self._reads.wrong_layout(err)) is not None:
                raise wrong from err
            raise

    def _run(self, steps: Generator[Any, Any, T]) -> T:
        """Make the calls of a read."""
        answer: Any = None
        try:
            while True:
                step = steps.send(answer)
                answer = None
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                else:
                    answer = self._call(step)
        except StopIteration as end:
            result: T = end.value
            return result
