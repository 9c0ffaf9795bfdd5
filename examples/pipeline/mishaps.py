"""What goes wrong in real pipelines, so that the example's output has it too (`pipeline.py --mishaps`).

Leave this file out of a pipeline of your own: it comes with mishaps of its own.
"""

import json

from publisher import encode

HOUR = 3600


class AnswersGetLost:
    """An SQS client some of whose answers get lost, after SQS has taken the messages.

    The SDK sees a time-out and sends the batch again, so the queue holds it twice.
    """

    def __init__(self, sqs, every):
        self._sqs = sqs
        self._every = every
        self._calls = 0

    def send_message_batch(self, **request):
        self._calls += 1
        if self._calls % self._every == 0:
            self._sqs.send_message_batch(**request)
        return self._sqs.send_message_batch(**request)


def in_bulk(predictions):
    """A bulk job in which one row of the input had no id. Its neighbours share a message with it."""
    for i, prediction in enumerate(predictions):
        if i == 100:
            yield {key: value for key, value in prediction.items() if key != "predictionId"}
        yield prediction


def late(predictions):
    """A publisher that hung wakes up and sends again what it had sent: by now a newer model has predicted the same."""
    return predictions[:10]


def broken(sample, now):
    """Messages that can't be cached, each for a reason seen in production. `sample` is a prediction that is fine."""
    fine = {**sample, "timestamp": now}
    return [
        encode({**fine, "predictionId": ""}),  # the id came from an empty column
        encode({**fine, "predictionId": "digits/" + "0" * 2048}),  # or from the wrong one: too long for a key
        encode({**fine, "predictionId": 1078}),  # or was never made a string
        encode({key: value for key, value in fine.items() if key != "prediction"}),  # the model gave nothing
        json.dumps({**fine, "prediction": {"label": 7, "score": float("nan")}}),  # NaN: Python writes it, JSON has no such thing
        json.dumps(encode(fine)),  # encoded twice: a string that holds JSON
        encode(fine)[:-20],  # cut off by a full disk
        encode({**fine, "timestamp": now + 9 * HOUR}),  # a host that takes its local time for UTC
        encode({**fine, "timestamp": "yesterday"}),  # a time that a person wrote
        encode({**fine, "createdAt": now}),  # a name that the worker itself uses
    ]


def expired(sample, now):
    """A prediction for an hour that spent two days in someone's dead-letter queue. Nothing is wrong with it but its age."""
    return {**sample, "timestamp": now - 48 * HOUR, "ttlSeconds": HOUR}
