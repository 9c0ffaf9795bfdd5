"""Publishes predictions to the queue that a predcache worker consumes.

This is the part to copy into a pipeline of your own. It needs an SQS client (boto3) and nothing else:

    publisher = Publisher(boto3.client("sqs"), queue_url)
    publisher.publish({"predictionId": "digits/0042", "timestamp": time.time(), "prediction": {"label": 7}})
    publisher.flush()
"""

import json
import random
import time

# Limits of Amazon SQS: "Amazon SQS message quotas" and "Amazon SQS pricing" in its documentation.
BATCH_ENTRIES = 10  # SendMessageBatch takes at most 10 messages a call.
BATCH_BYTES = 1_048_576  # The messages of a call may have 1 MiB together.
PACK_BYTES = 65_536  # Each started 64 KB is billed as a request, so a packed message ends there.


class PublishError(Exception):
    """Some messages couldn't be sent. `bodies` holds them, so that the caller can keep or send them again."""

    def __init__(self, reason, bodies):
        super().__init__(f"{len(bodies)} message(s) not sent: {reason}")
        self.bodies = bodies


class Publisher:
    """Sends predictions in full batches.

    With `pack`, many predictions share a message, one JSON object a line (NDJSON), up to 64 KB: a bulk job of a
    million small predictions then pays for thousands of messages instead of a million. Without it each prediction is a
    message of its own.

    What publish() takes isn't on the queue before flush() returns. A prediction may arrive twice (SQS and the client's
    own retries both do that); the worker removes duplicates, so sending again is always safe.
    """

    def __init__(self, sqs, queue_url, pack=False, attempts=5, sleep=time.sleep):
        self._sqs = sqs
        self._queue_url = queue_url
        self._pack = pack
        self._attempts = attempts
        self._sleep = sleep
        self._lines = []  # predictions that wait to share a message
        self._batch = []  # messages that wait to share a call

    def publish(self, prediction):
        """Takes one prediction: a dict, or a str that is JSON already."""
        line = prediction if isinstance(prediction, str) else encode(prediction)
        if not self._pack:
            self._add_message(line)
            return
        if size(self._lines) + len(line.encode()) > PACK_BYTES:
            self._close_message()
        self._lines.append(line)

    def flush(self):
        """Sends what still waits, and returns once SQS has confirmed all of it."""
        self._close_message()
        self._send()

    def _close_message(self):
        if self._lines:
            body = "\n".join(self._lines)
            self._lines = []
            self._add_message(body)

    def _add_message(self, body):
        if size(self._batch) + len(body.encode()) > BATCH_BYTES:
            self._send()
        self._batch.append(body)
        if len(self._batch) == BATCH_ENTRIES:
            self._send()

    def _send(self):
        """Sends the batch. A call that succeeds can still refuse some of its messages: only those are sent again."""
        waiting, self._batch = self._batch, []
        for attempt in range(self._attempts):
            if not waiting:
                return
            if attempt > 0:
                self._sleep(random.uniform(0, min(5.0, 0.1 * 2**attempt)))
            answer = self._sqs.send_message_batch(
                QueueUrl=self._queue_url,
                Entries=[{"Id": str(i), "MessageBody": body} for i, body in enumerate(waiting)],
            )
            failed = answer.get("Failed", [])
            refused = [f for f in failed if f["SenderFault"]]  # our fault: the same message would fail again
            if refused:
                raise PublishError(describe(refused), [waiting[int(f["Id"])] for f in failed])
            reason = describe(failed)
            waiting = [waiting[int(f["Id"])] for f in failed]
        if waiting:
            raise PublishError(f"after {self._attempts} attempts, {reason}", waiting)


def encode(prediction):
    """One prediction as one line of JSON. NaN is an error here: it isn't JSON, and the worker would reject it."""
    return json.dumps(prediction, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def size(bodies):
    """The bytes of the bodies, and of a line end after each."""
    return sum(len(body.encode()) + 1 for body in bodies)


def describe(failed):
    return ", ".join(sorted({f"{f['Code']} {f.get('Message', '')}".strip() for f in failed}))
