#!/usr/bin/env bash
# cosign.sh COMMAND ARG… runs cosign's sign, sign-blob or attest as a release does: keyless, by the identity token of the workflow.
# With REHEARSAL_KEY, a private key, it signs by that and calls none of Sigstore's services.
set -euo pipefail

command=$1
shift
flags=(--yes)
if [[ -n ${REHEARSAL_KEY-} ]]; then
	config=$(mktemp)
	trap 'rm -f "$config"' EXIT
	cosign signing-config create >"$config" # names no service
	flags+=(--key "$REHEARSAL_KEY" --signing-config "$config")
fi
cosign "$command" "${flags[@]}" "$@"
