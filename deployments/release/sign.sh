#!/usr/bin/env bash
# sign.sh IMAGE CHART signs an image and a chart in their registry, and attests the image's SBOM. Both are named by digest: a
# tag could be moved between the push and the signature.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

image=$1 chart=$2
for artifact in "$image" "$chart"; do
	[[ $artifact =~ @sha256:[0-9a-f]{64}$ ]] || { echo "sign.sh: $artifact has no digest" >&2; exit 2; }
done

sbom=$(mktemp)
trap 'rm -f "$sbom"' EXIT
syft scan --quiet "registry:$image" --output "spdx-json=$sbom"

deployments/release/cosign.sh sign "$image"
deployments/release/cosign.sh attest --type spdxjson --predicate "$sbom" "$image"
deployments/release/cosign.sh sign "$chart"
