"""Reads the predictions of a table, for asyncio."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar

from predcache import _times
from predcache._computed import Computed, prediction_of
from predcache._many import Many
from predcache._query import Call, Pause
from predcache._reads import MAX_BATCH_GET, Reads
from predcache.aio._signed import AsyncService
from predcache.aio.publisher import Publisher
from predcache.cache import Id, Time, check_cache
from predcache.errors import CallError, ClosedError, ConfigurationError, ItemError, ServiceError
from predcache.front import Front
from predcache.layout import Kind, Layout
from predcache.prediction import Prediction
from predcache.rules import Rules

__all__ = ["Cache"]

T = TypeVar("T")

# An answer of this many bytes is decoded in about 2 ms by the standard library, which the event loop waits.
_ANSWER_BYTES = 256 << 10

_IDS = 500  # checked before the event loop has its turn

_computing: ContextVar[frozenset[str]] = ContextVar("predcache_computing", default=frozenset())


class Cache:
    """``predcache.Cache`` for asyncio: the same arguments, and the same methods, to be awaited.

    Cancelling a caller cancels its own call alone: what several callers wait for goes on for the others.
    The event loop isn't blocked: botocore runs in a thread, and where items are large, fewer are asked for
    in a call.
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
        self._service = AsyncService("dynamodb", None, session, endpoint_url, config)
        self._front = front
        self._publisher = publisher
        self._concurrency = concurrency
        self._discovering = asyncio.Lock()
        self._flights: dict[str, asyncio.Task[Any]] = {}
        self._computed = Computed(front)
        self._item_bytes = 0.0  # about, in answers
        self._closed = False

    async def __aenter__(self) -> Cache:
        await self._service.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, and cancel what nobody waits for any more."""
        self._closed = True
        tasks = list(self._flights.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._service.close()

    async def layout(self) -> Layout:
        """Return the table's layout, which may have to be asked for.

        Raises:
            CallError: The table could not be asked.
            ConfigurationError: It has no layout of predcache's.
        """
        return (await self._rules()).layout

    async def get(self, id: Id) -> Prediction | None:  # noqa: A002
        """Return the newest live prediction of an id, or None: see ``predcache.Cache.get``."""
        rules = self._reads.rules or await self._rules()
        key = id if type(id) is str and not rules.layout.numeric else rules.read_key(id)
        if self._front is not None:
            known, prediction = self._front.lookup(key)
            if known:
                return prediction
        rules.read_key(id)
        return await self._fetch(key)

    async def _fetch(self, key: str) -> Prediction | None:
        async def read() -> Prediction | None:
            sent = time.monotonic()
            return self._computed.read(key, await self._run(self._reads.newest(key)), sent)

        return await (read() if self._front is None else self._flight("get " + key, read))

    async def _flight(self, name: str, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Share a call between those who want the same. It goes on if one of them is cancelled."""
        if self._closed:
            raise ClosedError("the cache is closed")
        task: asyncio.Task[T] | None = self._flights.get(name)
        if task is None:
            task = self._flights[name] = asyncio.ensure_future(call())
            task.add_done_callback(lambda done: self._landed(name, done))
        return await asyncio.shield(task)

    def _landed(self, name: str, task: asyncio.Task[Any]) -> None:
        self._flights.pop(name, None)
        if not task.cancelled():
            task.exception()  # has been seen, even if every caller was cancelled

    async def get_many(self, ids: Iterable[Id]) -> dict[Any, Prediction | None]:
        """Return the newest live prediction of each id: see ``predcache.Cache.get_many``."""
        many = Many(await self._rules(), self._front, self._computed)
        rest = iter(ids)
        while some := list(itertools.islice(rest, _IDS)):
            many.add(some)
            await asyncio.sleep(0)
        size = min(MAX_BATCH_GET, self._reads.page_items or MAX_BATCH_GET)
        chunks = iter(many.chunks(self._reads.layout, size))
        failed: list[CallError] = []

        async def work() -> None:
            for chunk in chunks:
                if failed:
                    return
                try:
                    await self._read_chunk(many, chunk)
                except CallError as err:
                    failed.append(err)

        workers = min(self._concurrency, len(many.wanted))
        await _all([work() for _ in range(workers)])
        if failed:
            many.failed(many.wanted, failed[0])
        return many.result()

    async def _read_chunk(self, many: Many, keys: list[str]) -> None:
        try:
            if self._reads.layout.sort_key is None:
                await self._run(self._reads.batch(keys, many.answered, many.errors))
            else:
                many.answered[keys[0]] = await self._run(self._reads.newest(keys[0]))
        except ItemError as err:
            many.failed(keys, err)
        except CallError as err:
            many.failed(keys, err)
            raise
        many.read(keys)

    async def history(
        self,
        id: Id,  # noqa: A002
        since: Time | None = None,
        until: Time | None = None,
        *,
        oldest_first: bool = False,
    ) -> AsyncIterator[Prediction]:
        """Yield the live predictions of an id, page by page: see ``predcache.Cache.history``."""
        rules = await self._rules()
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
                answer = await self._call(step)
            else:
                yield step

    async def get_or_compute(
        self,
        id: Id,  # noqa: A002
        fn: Callable[[], Any | Awaitable[Any]],
        **options: Any,
    ) -> Prediction:
        """Return the newest live prediction of an id or, on a miss, what ``fn`` computes.

        See ``predcache.Cache.get_or_compute``. ``fn`` may be a coroutine function; another function runs in
        a thread, since a model may well take its time. A caller that is cancelled doesn't end the
        computation.
        """
        publisher = self._publisher
        if publisher is None:
            raise ConfigurationError("get_or_compute needs a Cache with a publisher")
        key = (await self._rules()).read_key(id)
        prediction = self._computed.known(key)
        if prediction is not None:
            return prediction
        if key in _computing.get():
            raise RuntimeError(f"computing {key!r} asks for {key!r} itself")
        return await self._flight("compute " + key, lambda: self._compute(key, id, fn, options, publisher))

    async def _compute(
        self, key: str, id_: Id, fn: Callable[[], Any], options: dict[str, Any], publisher: Publisher
    ) -> Prediction:
        prediction = self._computed.get(key) or await self._fetch(key)
        if prediction is not None:
            return prediction
        _computing.set(_computing.get() | {key})
        payload = fn() if inspect.iscoroutinefunction(fn) else await asyncio.to_thread(fn)
        if inspect.isawaitable(payload):
            payload = await payload
        rules = await self._rules()
        made = prediction_of(self._reads, rules, key, id_, payload, options, publisher.nan)
        publisher.offer(made.line)
        self._computed.put(key, made.prediction)
        return made.prediction

    async def _rules(self) -> Rules:
        if self._reads.rules is not None:
            return self._reads.rules
        async with self._discovering:
            rules = self._reads.rules
            if rules is None:
                rules = await self._run(self._reads.discover())
            return rules

    async def _call(self, call: Call) -> Any:
        if self._closed:
            raise ClosedError("the cache is closed")
        try:
            answer, size = await self._service.call(call.operation, call.body)
        except ServiceError as err:
            if (wrong := self._reads.wrong_layout(err)) is not None:
                raise wrong from err
            raise
        items = answer.get("Count") or sum(map(len, answer.get("Responses", {}).values()))
        if items:
            self._learn_size(size / items)
        return answer

    def _learn_size(self, item_bytes: float) -> None:
        """Ask for as many items at a time as can be decoded without blocking the loop for long."""
        if item_bytes > self._item_bytes:
            self._item_bytes = item_bytes
        else:
            self._item_bytes += (item_bytes - self._item_bytes) * 0.1
        self._reads.page_items = max(int(_ANSWER_BYTES / self._item_bytes), 1)

    async def _run(self, steps: Generator[Any, Any, T]) -> T:
        """Make the calls of a read."""
        answer: Any = None
        try:
            while True:
                step = steps.send(answer)
                answer = None
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                else:
                    answer = await self._call(step)
        except StopIteration as end:
            result: T = end.value
            return result


async def _all(coroutines: list[Coroutine[Any, Any, None]]) -> None:
    """Run coroutines together. Where one raises, or the caller is cancelled, the others end first."""
    if len(coroutines) == 1:
        await coroutines[0]
        return
    tasks = [asyncio.ensure_future(c) for c in coroutines]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
