"""One call of an id under way at a time, whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from predcache import _fork

T = TypeVar("T")


class Flights(Generic[T]):
    """Shares calls between threads. The first caller of a key makes the call; others wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, tuple[int, Future[T]]] = {}
        _fork.watch(self)

    def after_fork(self) -> None:
        """Forget the calls of the parent's threads."""
        self._lock = threading.Lock()
        self._under_way = {}

    def do(self, key: str, call: Callable[[], T]) -> T:
        """Return what ``call`` returns, or what another thread's for the same key does.

        Raises:
            RuntimeError: The call of this key is this thread's own, further up: it would wait for itself.
        """
        thread = threading.get_ident()
        with self._lock:
            flight = self._under_way.get(key)
            if flight is None:
                future: Future[T] = Future()
                self._under_way[key] = thread, future
        if flight is not None:
            if flight[0] == thread:
                raise RuntimeError(f"computing {key!r} asks for {key!r} itself")
            return flight[1].result()
        try:
            result = call()
        except BaseException as err:
            self._end(key)
            if isinstance(err, Exception):
                future.set_exception(err)
            else:  # Ctrl-C, or the end of a greenlet: this thread's own business
                future.set_exception(RuntimeError(f"the call for {key!r} was interrupted"))
            raise
        self._end(key)
        future.set_result(result)
        return result

    def _end(self, key: str) -> None:
        with self._lock:
            self._under_way.pop(key, None)
