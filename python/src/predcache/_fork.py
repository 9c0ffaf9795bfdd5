"""What must happen in a process after it was forked: connections, locks and threads are the parent's."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class _Forked(Protocol):
    def after_fork(self) -> None:
        """Let go of what is the parent's."""


_watched: weakref.WeakSet[_Forked] = weakref.WeakSet()


def watch(instance: _Forked) -> None:
    """Have ``instance.after_fork`` called in each child process, as long as it is in use."""
    _watched.add(instance)


def _in_child() -> None:
    for instance in list(_watched):
        instance.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
