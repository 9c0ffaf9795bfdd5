"""python -m unittest (in this folder; needs no package)"""

import json
import unittest

import mishaps
from publisher import BATCH_BYTES, PACK_BYTES, Publisher, PublishError, encode


class FakeSQS:
    """Takes batches by SQS's rules. `refuse` decides on each body: None takes it, else the entry of Failed."""

    def __init__(self, refuse=lambda body: None):
        self.refuse = refuse
        self.calls = []
        self.queue = []

    def send_message_batch(self, QueueUrl, Entries):
        bodies = [entry["MessageBody"] for entry in Entries]
        assert 1 <= len(bodies) <= 10
        assert len({entry["Id"] for entry in Entries}) == len(Entries)
        assert sum(len(body.encode()) for body in bodies) <= BATCH_BYTES
        self.calls.append(bodies)
        answer = {"Successful": [], "Failed": []}
        for entry in Entries:
            failure = self.refuse(entry["MessageBody"])
            if failure:
                answer["Failed"].append({"Id": entry["Id"], **failure})
            else:
                self.queue.append(entry["MessageBody"])
                answer["Successful"].append({"Id": entry["Id"]})
        return answer


def publish(sqs, predictions, **options):
    publisher = Publisher(sqs, "url", sleep=lambda seconds: None, **options)
    for prediction in predictions:
        publisher.publish(prediction)
    publisher.flush()


class PublisherTest(unittest.TestCase):
    def test_full_batches(self):
        sqs = FakeSQS()
        publish(sqs, [{"predictionId": str(i)} for i in range(23)])
        self.assertEqual([len(call) for call in sqs.calls], [10, 10, 3])
        self.assertEqual([json.loads(body)["predictionId"] for body in sqs.queue], [str(i) for i in range(23)])

    def test_nothing_to_send_makes_no_call(self):
        sqs = FakeSQS()
        publish(sqs, [], pack=True)
        self.assertEqual(sqs.calls, [])

    def test_pack_fills_messages_and_splits_no_prediction(self):
        sqs = FakeSQS()
        predictions = [{"predictionId": str(i), "prediction": "ü" * 50} for i in range(2000)]
        publish(sqs, predictions, pack=True)
        got = [json.loads(line) for body in sqs.queue for line in body.split("\n")]
        self.assertEqual(got, predictions)
        for body in sqs.queue:
            self.assertLessEqual(len(body.encode()), PACK_BYTES)
        for body in sqs.queue[:-1]:
            self.assertGreater(len(body.encode()), PACK_BYTES - 200)

    def test_large_messages_share_a_call_up_to_its_limit(self):
        sqs = FakeSQS()
        publish(sqs, ["x" * 300_000] * 7)
        self.assertEqual([len(call) for call in sqs.calls], [3, 3, 1])

    def test_only_what_failed_is_sent_again(self):
        attempts = []

        def refuse(body):
            attempts.append(body)
            if body == "b" and attempts.count("b") < 3:
                return {"Code": "InternalError", "SenderFault": False}

        sqs = FakeSQS(refuse)
        publish(sqs, ["a", "b", "c"])
        self.assertEqual(sqs.calls, [["a", "b", "c"], ["b"], ["b"]])
        self.assertEqual(sorted(sqs.queue), ["a", "b", "c"])

    def test_what_fails_for_good_is_handed_back(self):
        sqs = FakeSQS(lambda body: {"Code": "InternalError", "SenderFault": False} if body == "b" else None)
        with self.assertRaisesRegex(PublishError, "1 message.* after 3 attempts, InternalError") as raised:
            publish(sqs, ["a", "b"], attempts=3)
        self.assertEqual(raised.exception.bodies, ["b"])

    def test_a_message_that_is_our_fault_is_not_sent_again(self):
        sqs = FakeSQS(lambda body: {"Code": "InvalidMessageContents", "SenderFault": True} if body == "b" else None)
        with self.assertRaisesRegex(PublishError, "InvalidMessageContents") as raised:
            publish(sqs, ["a", "b"])
        self.assertEqual(len(sqs.calls), 1)
        self.assertEqual(raised.exception.bodies, ["b"])

    def test_nan_is_refused_before_it_is_sent(self):
        with self.assertRaises(ValueError):
            encode({"prediction": float("nan")})


class MishapsTest(unittest.TestCase):
    def test_a_lost_answer_leaves_the_batch_on_the_queue_twice(self):
        sqs = FakeSQS()
        publish(mishaps.AnswersGetLost(sqs, every=2), [str(i) for i in range(20)])
        self.assertEqual(len(sqs.queue), 30)


if __name__ == "__main__":
    unittest.main()
