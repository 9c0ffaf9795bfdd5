"""python -m pytest (in this folder; needs the package, but no scikit-learn)"""

import json
import os
import time

import botocore.session
import mishaps
import pytest
from predcache import InvalidPredictionError, Publisher
from recorder import Recorder

os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="eu-west-1")
QUEUE = "http://127.0.0.1/queue"


def predictions(count):
    now = round(time.time(), 3)
    return [{"id": f"digits/{i:04}", "payload": {"label": i % 10}, "timestamp": now, "model": "m"} for i in range(count)]


def test_the_recorder_writes_what_sqs_would_get(tmp_path):
    path = tmp_path / "messages.ndjson"
    with path.open("w", encoding="utf-8") as file, Recorder(file) as recorder:
        with Publisher(QUEUE, endpoint_url=recorder.url, linger=60) as publisher:
            publisher.publish_many(predictions(300))
        client = botocore.session.get_session().create_client("sqs", endpoint_url=recorder.url)
        sent = mishaps.publish(predictions(300), client, QUEUE)
        client.close()
    bodies = [json.loads(line)["body"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(bodies) == sent + 1
    assert len(bodies[0].splitlines()) == 300


def test_a_mishaps_message_is_what_the_package_makes(tmp_path):
    path = tmp_path / "messages.ndjson"
    (prediction,) = predictions(1)
    with path.open("w", encoding="utf-8") as file, Recorder(file) as recorder:
        with Publisher(QUEUE, endpoint_url=recorder.url, linger=60) as publisher:
            publisher.publish_many([prediction])
    assert json.loads(json.loads(path.read_text())["body"]) == mishaps.message(prediction)


def test_the_package_refuses_what_is_broken():
    publisher = Publisher(QUEUE)
    fine = mishaps.message(predictions(1)[0])
    for body in mishaps.broken(fine):
        with pytest.raises(InvalidPredictionError):
            publisher.publish_json(body)
