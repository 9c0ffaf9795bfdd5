"""``python -m predcache``: a quick look at a table, and a file of predictions to a queue."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from predcache import _json
from predcache._version import __version__
from predcache.cache import Cache
from predcache.errors import ConfigurationError, InvalidPredictionError, PredcacheError, counted
from predcache.prediction import Prediction
from predcache.publisher import Publisher

_EXAMPLES = """
region, credentials and endpoints are the SDK's own settings: AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL, …

examples:
  python -m predcache get user-42 --table predictions
  python -m predcache publish predictions.ndjson --queue-url "$QUEUE_URL"
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 1 for a miss or a rejected line, 2 for an error."""
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        status: int = args.run(args)
    except (PredcacheError, OSError) as err:
        print(f"predcache: {err}", file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="predcache",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    get = commands.add_parser("get", help="show the newest live prediction of an id, as JSON")
    get.add_argument("id", metavar="ID")
    get.add_argument(
        "--table", default=os.environ.get("PREDCACHE_TABLE_NAME"), help="the table (PREDCACHE_TABLE_NAME)"
    )
    get.add_argument("--history", action="store_true", help="show all live ones, newest first, one a line")
    get.set_defaults(run=_get)
    publish = commands.add_parser("publish", help="publish a file of predictions, one JSON object a line")
    publish.add_argument("file", metavar="FILE", help="the file; - is standard input")
    publish.add_argument(
        "--queue-url", default=os.environ.get("PREDCACHE_QUEUE_URL"), help="the queue (PREDCACHE_QUEUE_URL)"
    )
    publish.set_defaults(run=_publish)
    return parser


def _get(args: argparse.Namespace) -> int:
    if not args.table:
        raise ConfigurationError("no table is named: give --table, or set PREDCACHE_TABLE_NAME")
    with Cache(args.table) as cache:
        found = list(cache.history(args.id)) if args.history else [cache.get(args.id)]
    shown = [p for p in found if p is not None]
    for prediction in shown:
        print(_text(prediction))
    if not shown:
        print(f"predcache: no live prediction of {args.id!r} in the table {args.table!r}", file=sys.stderr)
    return 0 if shown else 1


def _text(prediction: Prediction) -> str:
    """Return a prediction as JSON: the payload as it is stored, with every digit."""
    expires = prediction.expires_at
    head = {
        "predictionId": prediction.id,
        "eventTime": prediction.event_time,
        "expiresAt": expires,
        **prediction.attributes,
    }
    text = _json.encode(head, "").decode()
    return f'{text[:-1]},"prediction":{prediction.text}}}'


def _publish(args: argparse.Namespace) -> int:
    if not args.queue_url:
        raise ConfigurationError("no queue is named: give --queue-url, or set PREDCACHE_QUEUE_URL")
    if args.file == "-":
        return _publish_lines(args.queue_url, sys.stdin)
    try:
        with Path(args.file).open(encoding="utf-8") as lines:
            return _publish_lines(args.queue_url, lines)
    except UnicodeDecodeError as err:
        raise ConfigurationError(
            f"{args.file} is not UTF-8 text: decompress it first, and pipe it to `publish -`"
        ) from err


def _publish_lines(queue_url: str, lines: Iterable[str]) -> int:
    taken = rejected = 0
    with Publisher(queue_url) as publisher:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                publisher.publish_json(line)
                taken += 1
            except InvalidPredictionError as err:
                rejected += 1
                print(f"predcache: line {number}: {err}", file=sys.stderr)
    what = counted(taken + rejected, "prediction")
    print(f"published {taken} of {what}; calls of SQS: {publisher.stats().calls}")
    return 1 if rejected else 0


if __name__ == "__main__":
    sys.exit(main())
