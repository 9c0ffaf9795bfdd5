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
import contextlib
import os
import sys
import time

import botocore.session
import mishaps
from predcache import PredcacheError, Publisher
from recorder import Recorder
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

CHUNK = 100  # images that the bulk job predicts at a time


def main():
    args = parse_args()
    try:
        with contextlib.ExitStack() as stack:
            endpoint = None
            if args.output:
                file = stack.enter_context(open(args.output, "w", encoding="utf-8", newline="\n"))
                endpoint = stack.enter_context(Recorder(file)).url
                # The recorder takes any credentials, and there may be none.
                os.environ.update(AWS_ACCESS_KEY_ID="any", AWS_SECRET_ACCESS_KEY="any", AWS_REGION="eu-west-1")
            run(args, endpoint)
    except PredcacheError as err:
        print(err, file=sys.stderr)
        return 1
    return 0


def run(args, endpoint):
    queue_url = args.queue_url or "http://127.0.0.1/recorded"
    digits = load_digits()
    train_x, test_x, train_y, test_y = train_test_split(digits.data, digits.target, test_size=0.4, shuffle=False)
    ids = [f"digits/{i:04}" for i in range(len(train_x), len(digits.data))]  # an image's place in the data set

    # As a service does it: one prediction at a time, each sent within 50 ms.
    model = train(LogisticRegression(max_iter=200), train_x[:100], train_y[:100])
    first = []
    with Publisher(queue_url, pack=False, endpoint_url=endpoint) as publisher:
        for i, image_id in enumerate(ids):
            (prediction,) = predict(model, "digits-logistic", 1, [image_id], test_x[i : i + 1])
            publisher.publish(**prediction)
            first.append(prediction)
    report("digits-logistic", 1, first, test_y)

    # As a bulk job does it: many predictions a message.
    model = train(MLPClassifier((256, 256), max_iter=500, random_state=0), train_x, train_y)
    second = []
    with Publisher(queue_url, pack=args.pack, endpoint_url=endpoint) as publisher:
        for i in range(0, len(ids), CHUNK):
            predictions = predict(model, "digits-neural", 2, ids[i : i + CHUNK], test_x[i : i + CHUNK])
            publisher.publish_many(predictions)
            second += predictions
    report("digits-neural", 2, second, test_y)

    if args.mishaps:
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")  # botocore reads only the second
        client = botocore.session.get_session().create_client("sqs", region_name=region, endpoint_url=endpoint)
        print(f"mishaps: {mishaps.publish(first, client, queue_url)} messages that are repeated, broken or expired")


def train(classifier, images, labels):
    return make_pipeline(StandardScaler(), classifier).fit(images, labels)


def predict(model, name, version, ids, images):
    """The predictions of some images, as the arguments of `Publisher.publish`: what else is known is kept as attributes."""
    now = round(time.time(), 3)
    return [
        {
            "id": image_id,
            "timestamp": now,
            "payload": {
                "label": int(model.classes_[row.argmax()]),
                "probabilities": {str(label): round(float(p), 4) for label, p in zip(model.classes_, row, strict=True) if p >= 0.001},
            },
            "model": name,
            "modelVersion": version,
        }
        for image_id, row in zip(ids, model.predict_proba(images), strict=True)
    ]


def report(name, version, predictions, labels):
    right = sum(p["payload"]["label"] == label for p, label in zip(predictions, labels, strict=True))
    print(f"{name} {version}: {len(predictions)} predictions, {right / len(predictions):.1%} of them right")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    to = parser.add_mutually_exclusive_group(required=True)
    to.add_argument("--queue-url", metavar="URL", help="publish to this SQS queue")
    to.add_argument("--output", metavar="FILE", help="write the messages to a file instead, one a line")
    parser.add_argument("--pack", action="store_true", help="let the bulk job fill its messages to 64 KB")
    parser.add_argument("--mishaps", action="store_true", help="add what goes wrong in real pipelines: repeats and broken messages")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
