"""A small model pipeline: trains a classifier, predicts, and publishes the predictions to predcache.

The data are scikit-learn's handwritten digits, which come inside the package: 1,797 images, of which the first 60 %
train the models and the other 719 are predicted, twice:

  version 1  a logistic regression, trained on 100 images. It predicts one image at a time, as a service does.
  version 2  a neural network, trained on all of them. It predicts everything again, as a bulk job does.

examples:
  python pipeline.py --queue-url "$PREDCACHE_QUEUE_URL"
  python pipeline.py --output messages.ndjson --pack --mishaps
"""

import argparse
import json
import os
import sys
import time

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mishaps
from publisher import Publisher, PublishError

CHUNK = 100  # images that the bulk job predicts at a time


def main():
    args = parse_args()
    try:
        if args.output:
            with open(args.output, "w", encoding="utf-8", newline="\n") as file:
                run(args, Recorder(file))
        else:
            run(args, connect())
    except PublishError as err:
        print(err, file=sys.stderr)
        return 1
    return 0


def run(args, sqs):
    if args.mishaps:
        sqs = mishaps.AnswersGetLost(sqs, every=12)
    one_by_one = Publisher(sqs, args.queue_url)
    bulk = Publisher(sqs, args.queue_url, pack=args.pack)

    digits = load_digits()
    train_x, test_x, train_y, test_y = train_test_split(digits.data, digits.target, test_size=0.4, shuffle=False)
    ids = [f"digits/{i:04}" for i in range(len(train_x), len(digits.data))]  # an image's place in the data set

    model = train(LogisticRegression(max_iter=200), train_x[:100], train_y[:100])
    first = []
    for i, image_id in enumerate(ids):
        first += predict(model, "digits-logistic", 1, [image_id], test_x[i : i + 1])
        one_by_one.publish(first[-1])
    one_by_one.flush()
    report("digits-logistic", 1, first, test_y)

    model = train(MLPClassifier((256, 256), max_iter=500, random_state=0), train_x, train_y)
    second = []
    for i in range(0, len(ids), CHUNK):
        second += predict(model, "digits-neural", 2, ids[i : i + CHUNK], test_x[i : i + CHUNK])
    for prediction in mishaps.in_bulk(second) if args.mishaps else second:
        bulk.publish(prediction)
    bulk.flush()
    report("digits-neural", 2, second, test_y)

    if args.mishaps:
        now = round(time.time(), 3)
        unlucky = [*mishaps.late(first), *mishaps.broken(second[0], now), mishaps.expired(first[0], now)]
        for prediction in unlucky:
            one_by_one.publish(prediction)
        one_by_one.flush()
        print(f"mishaps: {len(unlucky)} messages that are late, broken or expired")


def train(classifier, images, labels):
    return make_pipeline(StandardScaler(), classifier).fit(images, labels)


def predict(model, name, version, ids, images):
    """The predictions of some images, as the worker wants them: an id, the event time, the payload, and what else is to be kept."""
    now = round(time.time(), 3)
    return [
        {
            "predictionId": image_id,
            "timestamp": now,
            "prediction": {
                "label": int(model.classes_[row.argmax()]),
                "probabilities": {str(label): round(float(p), 4) for label, p in zip(model.classes_, row) if p >= 0.001},
            },
            "model": name,
            "modelVersion": version,
        }
        for image_id, row in zip(ids, model.predict_proba(images))
    ]


def report(name, version, predictions, labels):
    right = sum(p["prediction"]["label"] == label for p, label in zip(predictions, labels))
    print(f"{name} {version}: {len(predictions)} predictions, {right / len(predictions):.1%} of them right")


def connect():
    """The SQS client. Region, credentials and endpoint are the SDK's own settings (AWS_REGION, AWS_ENDPOINT_URL, …)."""
    import boto3  # here, so that --output needs no boto3
    from botocore.config import Config

    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")  # boto3 reads only the second
    return boto3.client("sqs", region_name=region, config=Config(retries={"mode": "standard", "max_attempts": 5}))


class Recorder:
    """Stands in for the SQS client and writes the messages to a file, one a line, as `{"sentAt": seconds, "body": text}`.

    The body is a JSON string of exactly what SQS would get, so that broken ones survive too.
    """

    def __init__(self, file):
        self._file = file

    def send_message_batch(self, QueueUrl, Entries):  # as boto3 names them
        for entry in Entries:
            message = {"sentAt": round(time.time(), 3), "body": entry["MessageBody"]}
            self._file.write(json.dumps(message, separators=(",", ":"), ensure_ascii=False) + "\n")
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    to = parser.add_mutually_exclusive_group(required=True)
    to.add_argument("--queue-url", metavar="URL", help="publish to this SQS queue")
    to.add_argument("--output", metavar="FILE", help="write the messages to a file instead, one a line")
    parser.add_argument("--pack", action="store_true", help="let the bulk job fill its messages to 64 KB")
    parser.add_argument("--mishaps", action="store_true", help="add what goes wrong in real pipelines: repeats, late and broken messages")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
