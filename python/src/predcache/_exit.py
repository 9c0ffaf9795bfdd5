"""What waits to be sent is sent when the process exits."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import weakref
from typing import Protocol

from predcache.errors import PredcacheError


class _Closing(Protocol):
    def close(self) -> None:
        """Send what waits."""


_open: weakref.WeakSet[_Closing] = weakref.WeakSet()
_watched = 0  # the process of multiprocessing whose exit is watched


def watch(publisher: _Closing) -> None:
    """Have a publisher closed when the process exits, as long as it is in use."""
    _open.add(publisher)


def forget(publisher: _Closing) -> None:
    """Leave out a publisher that was closed."""
    _open.discard(publisher)


def _close_all() -> None:
    for publisher in list(_open):
        with contextlib.suppress(PredcacheError):  # which was logged
            publisher.close()


# Registered when this is imported, so it runs after what the program registers later, which may publish.
atexit.register(_close_all)


def watch_process() -> None:
    """Have publishers closed when this process exits, if multiprocessing made it.

    Such a process doesn't run atexit's functions before Python 3.13, but multiprocessing's finalizers,
    which it clears at its start.
    """
    global _watched
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is None or process is None or _watched == os.getpid():
        return
    if process.parent_process() is not None:
        _watched = os.getpid()
        util.Finalize(None, _close_all, exitpriority=100)
