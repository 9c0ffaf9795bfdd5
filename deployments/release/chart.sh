#!/usr/bin/env bash
# chart.sh VERSION REGISTRY [FLAG…] packages the chart for a version like v1.2.3, pushes it, and prints its digest. Flags are for
# helm push.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=$1 registry=$2
shift 2
helm package deployments/helm/predcache --version "${version#v}" --app-version "$version" --destination dist >&2
said=$(helm push "dist/predcache-${version#v}.tgz" "oci://$registry/charts" "$@" 2>&1)
echo "$said" >&2
digest=$(sed -n 's/^Digest: //p' <<<"$said")
[[ $digest == sha256:* ]] || { echo "helm push printed no digest" >&2; exit 1; }
echo "$digest"
