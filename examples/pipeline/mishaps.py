"""What goes wrong in real pipelines, so that the example's output has it too (`pipeline.py --mishaps`).

Leave this file out of a pipeline of your own. The package refuses most of these predictions, so they are made by hand
here and sent by botocore's client, as other publishers would send them.
"""

import json

HOUR = 3600


def publish(predictions, client, queue_url):
    """Send some predictions again, late, over, or broken. `predictions` are fine; returns how many messages it sent."""
    fine = message(predictions[0])
    bodies = [
        *map(encode, map(message, predictions[:50])),  # a publisher whose answers got lost sends everything again
        in_bulk(predictions[:200]),
        *broken(fine),
        encode(expired(fine)),
    ]
    for start in range(0, len(bodies), 10):
        entries = [{"Id": str(i), "MessageBody": body} for i, body in enumerate(bodies[start : start + 10])]
        client.send_message_batch(QueueUrl=queue_url, Entries=entries)
    return len(bodies)


def message(prediction):
    """A prediction's arguments of `Publisher.publish`, as the message that the package makes of them."""
    others = dict(prediction)
    names = {"predictionId": others.pop("id"), "timestamp": others.pop("timestamp"), "prediction": others.pop("payload")}
    return names | others


def in_bulk(predictions):
    """A packed message of a bulk job in which one row of the input had no id. The others are fine."""
    lines = [message(prediction) for prediction in predictions]
    del lines[len(lines) // 2]["predictionId"]
    return "\n".join(map(encode, lines))


def broken(fine):
    """Messages that can't be cached, each for a reason seen in production. `fine` is a message without a fault."""
    return [
        encode({**fine, "predictionId": ""}),  # the id came from an empty column
        encode({**fine, "predictionId": "digits/" + "0" * 2048}),  # or from the wrong one: too long for a key
        encode({**fine, "predictionId": 1078}),  # or was never made a string
        encode({key: value for key, value in fine.items() if key != "prediction"}),  # the model gave nothing
        json.dumps({**fine, "prediction": {"label": 7, "score": float("nan")}}),  # NaN: Python writes it, JSON has no such thing
        json.dumps(encode(fine)),  # encoded twice: a string that holds JSON
        encode(fine)[:-20],  # cut off by a full disk
        encode({**fine, "timestamp": fine["timestamp"] + 9 * HOUR}),  # a host that takes its local time for UTC
        encode({**fine, "timestamp": "yesterday"}),  # a time that a person wrote
        encode({**fine, "createdAt": fine["timestamp"]}),  # a name that the worker itself uses
    ]


def expired(fine):
    """A prediction for an hour that spent two days in someone's dead-letter queue. Nothing is wrong with it but its age."""
    return {**fine, "timestamp": fine["timestamp"] - 48 * HOUR, "ttlSeconds": HOUR}


def encode(prediction):
    return json.dumps(prediction, separators=(",", ":"), ensure_ascii=False)
