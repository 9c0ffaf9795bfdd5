"""schemas.py CRDS INTO writes JSON schemas for kubeconform: of Kubernetes' own kinds that the chart makes, from the package
kubernetes-validate, and of each kind of the custom resource definitions in the folder CRDS."""

import json
import pathlib
import sys

import kubernetes_validate
import yaml

VERSION = "v1.34.0"
KINDS = [
    "deployment-apps-v1",
    "serviceaccount-v1",
    "service-v1",
    "configmap-v1",
    "networkpolicy-networking-v1",
    "poddisruptionbudget-policy-v1",
    "horizontalpodautoscaler-autoscaling-v2",
]


def strict(schema):
    """Forbids fields that the schema doesn't name, as a strict API server does."""
    if isinstance(schema, dict):
        if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
        for value in schema.values():
            strict(value)
    elif isinstance(schema, list):
        for value in schema:
            strict(value)
    return schema


def inlined(schema, definitions):
    """Puts what a schema refers to in the place of the reference: kubeconform reads one file a kind."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return inlined(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
        return {name: inlined(value, definitions) for name, value in schema.items()}
    if isinstance(schema, list):
        return [inlined(value, definitions) for value in schema]
    return schema


def main(crds, into):
    into.mkdir(parents=True)
    own = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"{VERSION}-local-strict"
    definitions = json.loads((own / "_definitions.json").read_text())["$defs"]
    for kind in KINDS:
        schema = json.loads((own / f"{kind}.json").read_text())
        (into / f"{kind}.json").write_text(json.dumps(inlined(schema, definitions)))
    for file in sorted(crds.glob("*.yaml")):
        for crd in yaml.safe_load_all(file.read_text()):
            kind, group = crd["spec"]["names"]["kind"].lower(), crd["spec"]["group"].split(".")[0]
            for version in crd["spec"]["versions"]:
                schema = version["schema"]["openAPIV3Schema"]
                strict(schema)["properties"]["metadata"] = {"type": "object"}
                (into / f"{kind}-{group}-{version['name']}.json").write_text(json.dumps(schema))


main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
