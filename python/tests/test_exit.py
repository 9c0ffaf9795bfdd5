"""What was taken is sent, however a process ends; and a forked one begins anew."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fake import FakeAWS

_HEAD = """
import os, sys, threading, multiprocessing
from predcache import Publisher, _json
if sys.argv[2] == "json":
    _json.orjson = None
publisher = Publisher("http://queue.invalid/q", endpoint_url=sys.argv[1], linger=60)
"""


def run(aws: FakeAWS, library: str, code: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-W",
        "error",
        "-W",
        "ignore::DeprecationWarning",
        "-c",
        _HEAD + code,
        aws.url,
        library,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("code", "ids"),
    [
        ("publisher.publish('a', 1)", "a"),
        ("publisher.publish('a', 1); sys.exit(3)", "a"),
        ("publisher.publish('a', 1); raise ValueError", "a"),
        ("publisher.publish('a', 1); del publisher", "a"),
        ("threading.Thread(target=publisher.publish, args=('a', 1)).start()", "a"),
        ("import atexit; atexit.register(publisher.publish, 'a', 1)", "a"),
        # A forked process sends its own, and leaves its parent's to the parent.
        (
            "publisher.publish('a', 1)\nif os.fork() == 0: publisher.publish('b', 2); sys.exit()\nos.wait()",
            "ab",
        ),
        (
            "publisher.publish('a', 1)\n"
            "process = multiprocessing.get_context('fork').Process(target=publisher.publish, args=('b', 2))\n"
            "process.start(); process.join(); publisher.publish('c', 3)",
            "abc",
        ),
        (
            "publisher.publish('a', 1)\n"
            "def task(id, payload): publisher.publish(id, payload)\n"
            "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
            "    pool.starmap(task, [('b', 2), ('c', 3)]); pool.close(); pool.join()",
            "abc",
        ),
    ],
)
def test_exit_without_close(aws: FakeAWS, json_library: str, code: str, ids: str) -> None:
    done = run(aws, json_library, code)
    assert sorted(p["predictionId"] for p in aws.predictions()) == list(ids), done.stderr


def test_a_forked_process_does_not_wait_for_its_parents_locks(aws: FakeAWS, json_library: str) -> None:
    """Fork again and again while other threads publish: no child may hang, lose, or repeat."""
    done = run(
        aws,
        json_library,
        """
def work(n):
    for i in range(300):
        publisher.publish(f"{n}-{i}", i)
threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
for t in threads: t.start()
for n in range(15):
    pid = os.fork()
    if pid == 0:
        publisher.publish(f"child-{n}", n)
        publisher.close(timeout=20)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
for t in threads: t.join()
""",
    )
    assert done.returncode == 0, done.stderr
    want = [f"{n}-{i}" for n in range(3) for i in range(300)] + [f"child-{n}" for n in range(15)]
    assert sorted(p["predictionId"] for p in aws.predictions()) == sorted(want)


def test_without_the_extras(json_library: str) -> None:
    """The package works where none of the optional dependencies is installed."""
    code = """
import sys
for name in ("orjson", "zstandard", "aiohttp", "numpy", "pandas", "polars", "boto3"): sys.modules[name] = None
import predcache, predcache._json
assert predcache._json.orjson is None
assert predcache._json.encode({"a": [1, 0.5]}, "") == b'{"a":[1,0.5]}'
try: import predcache.aio
except ImportError as err: assert "predcache[aio]" in str(err)
else: sys.exit("aio without aiohttp")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
