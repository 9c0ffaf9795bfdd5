#!/usr/bin/env bash
# mirror.sh FOLDER builds terraform-provider-aws as a mirror of a provider registry in FOLDER, and writes FOLDER/cli.tfrc. With
# TF_CLI_CONFIG_FILE set to that file, `tofu init` installs the provider from there and checks its version as ever.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
mirror=$(cd "$1" && pwd)
version=$(sed -n 's/^const version = "\(.*\)"$/\1/p' "$here/terraform-provider-aws/main.go")
into=$mirror/registry.opentofu.org/hashicorp/aws/$version/$(go env GOOS)_$(go env GOARCH)
mkdir -p "$into"
go build -C "$here" -o "$into/terraform-provider-aws_v$version" ./terraform-provider-aws
cat >"$mirror/cli.tfrc" <<CONFIG
disable_checkpoint = true
provider_installation {
  filesystem_mirror {
    path = "$mirror"
  }
}
CONFIG
