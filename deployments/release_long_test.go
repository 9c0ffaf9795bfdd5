//go:build long

package deployments

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// A rehearsal is a release of a clone, signed with a key of its own and published to a registry on loopback.
type rehearsal struct {
	clone, dist, public string
	registry            string // host and port
	in                  command
}

// TestRelease rehearses a release: it builds what the workflow builds, signs it by the workflow's scripts, and verifies it by the
// commands of SECURITY.md. What was changed afterwards must fail. Only the image of this machine's architecture is built,
// without buildx, from the same binaries by the same Dockerfile.
func TestRelease(t *testing.T) {
	r := rehearse(t)
	t.Run("binaries", r.binaries)
	daemon := startDocker(t)
	image := r.image(t, daemon)
	chart := strings.TrimSpace(r.in.must(t, "deployments/release/chart.sh", "v1.2.3", r.registry+"/predcache", "--plain-http"))
	r.in.must(t, "deployments/release/sign.sh", r.registry+"/predcache/worker@"+image, r.registry+"/predcache/charts/predcache@"+chart)
	if out, err := r.verify(t, ""); err != nil {
		t.Fatalf("SECURITY.md's commands: %v\n%s", err, out)
	}
	t.Run("changed files", r.changedFiles)
	t.Run("changed image and chart", func(t *testing.T) { r.changedImages(t, daemon) })
	t.Run("another key", func(t *testing.T) {
		other := filepath.Join(t.TempDir(), "other")
		r.in.must(t, tool(t, "cosign"), "generate-key-pair", "--output-key-prefix", other)
		mine := r.public
		defer func() { r.public = mine }()
		r.public = other + ".pub"
		r.refused(t, "a signature by another key", "cosign verify ", "cosign verify-attestation ", "cosign verify-blob ")
	})
}

// rehearse makes the snapshot of a release and signs its checksums, as goreleaser does for the workflow.
func rehearse(t *testing.T) *rehearsal {
	t.Helper()
	bin, err := filepath.Abs("../.cache/deploy/bin")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	t.Cleanup(server.Close)
	home := t.TempDir()
	r := &rehearsal{clone: filepath.Join(t.TempDir(), "clone"), public: home + "/cosign.pub", registry: strings.TrimPrefix(server.URL, "http://")}
	r.dist = filepath.Join(r.clone, "dist")
	command{}.must(t, "git", "clone", "--quiet", "..", r.clone)
	r.in = command{dir: r.clone, limit: 45 * time.Minute, env: []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "SYFT_CHECK_FOR_APP_UPDATE=false", "SYFT_REGISTRY_INSECURE_USE_HTTP=true",
		"COSIGN_PASSWORD=", "REHEARSAL_KEY=" + home + "/cosign.key", "TUF_ROOT=" + home + "/tuf", "DOCKER_CONFIG=" + home, "HELM_CONFIG_HOME=" + home,
		// cosign looks for Sigstore's root of trust, which a key doesn't need, and nothing here may leave the machine.
		"HTTPS_PROXY=http://127.0.0.1:1",
	}}
	r.in.must(t, tool(t, "cosign"), "generate-key-pair", "--output-key-prefix", home+"/cosign")
	r.in.must(t, "git", "remote", "set-url", "origin", "https://github.com/predcache/predcache.git")
	r.in.must(t, "git", "tag", "v1.2.3")
	r.in.must(t, tool(t, "goreleaser"), "check")
	r.in.must(t, tool(t, "goreleaser"), "release", "--snapshot", "--clean", "--skip=docker", "--parallelism=1")
	return r
}

func (r *rehearsal) binaries(t *testing.T) {
	var artifacts []struct{ Name, Path, Type, Goos, Goarch string }
	text, err := os.ReadFile(r.dist + "/artifacts.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &artifacts); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, a := range artifacts {
		count[a.Type]++
		t.Logf("%-10s %s", a.Type, a.Name)
		if a.Type == "Binary" && a.Goos == runtime.GOOS && a.Goarch == runtime.GOARCH {
			out := command{}.must(t, filepath.Join(r.clone, a.Path), "version")
			if !strings.HasPrefix(out, "predcache worker v1.2.") {
				t.Errorf("worker version says %q", out)
			}
		}
		if a.Type == "SBOM" {
			checkSBOM(t, filepath.Join(r.clone, a.Path))
		}
	}
	same(t, "what was made", []int{count["Binary"], count["Archive"], count["SBOM"], count["Checksum"], count["Signature"]}, []int{3, 3, 3, 1, 1})
	checkSums(t, r.dist)
}

// image builds the image from the binary of the archives, pushes it, and returns its digest.
func (r *rehearsal) image(t *testing.T, d *docker) string {
	t.Helper()
	platform := "linux/" + runtime.GOARCH
	binary, err := filepath.Glob(r.dist + "/worker_linux_" + runtime.GOARCH + "_*/worker")
	if err != nil || len(binary) != 1 {
		t.Fatalf("binaries: %q, %v", binary, err)
	}
	dir, base := t.TempDir(), t.TempDir()
	command{}.must(t, "install", "-D", binary[0], filepath.Join(dir, platform, "worker"))
	command{}.must(t, "install", "-D", "/etc/ssl/certs/ca-certificates.crt", filepath.Join(base, "etc/ssl/certs/ca-certificates.crt"))
	archive := filepath.Join(t.TempDir(), "base.tar")
	command{}.must(t, "tar", "-C", base, "-cf", archive, ".")
	d.must(t, "import", archive, "certificates:test")
	tag := r.registry + "/predcache/worker:v1.2.3"
	d.must(t, "build", "--network=none", "--platform="+platform, "--tag", tag, "--file", r.clone+"/Dockerfile",
		"--build-arg", "BUILD_IMAGE=certificates:test", "--build-arg", "SOURCE=prebuilt", "--build-arg", "VERSION=v1.2.3", dir)
	return r.push(t, d, tag)
}

func (r *rehearsal) push(t *testing.T, d *docker, tag string) string {
	t.Helper()
	pushed := regexp.MustCompile(`digest: (sha256:[0-9a-f]{64})`).FindStringSubmatch(d.must(t, "push", tag))
	if pushed == nil {
		t.Fatalf("pushing %s printed no digest", tag)
	}
	return pushed[1]
}

// verify runs the commands of SECURITY.md that begin so, or all of them. They name the rehearsal's registry and key in the
// place of those of a release. What asks GitHub or PyPI is left out.
func (r *rehearsal) verify(t *testing.T, only string) (string, error) {
	t.Helper()
	text, err := os.ReadFile("../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```sh\n")
	block, _, found := strings.Cut(block, "```\n")
	signer := regexp.MustCompile(`(?s)SIGNER=\(.*?\)\n`)
	if !found || !signer.MatchString(block) {
		t.Fatal("SECURITY.md has no commands with SIGNER")
	}
	block = signer.ReplaceAllString(block, "SIGNER=(--insecure-ignore-tlog --key '"+r.public+"')\n")
	script := "set -euo pipefail\n"
	for line := range strings.Lines(block) {
		command := !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "SIGNER=") && !strings.HasPrefix(line, "VERSION=") && strings.TrimSpace(line) != ""
		elsewhere := strings.HasPrefix(line, "gh ") || strings.HasPrefix(line, "pypi-attestations ")
		if !command || !elsewhere && strings.HasPrefix(line, only) {
			script += line
		}
	}
	if !strings.Contains(script, "\n"+only) {
		t.Fatalf("SECURITY.md has no command %q", only)
	}
	in := r.in
	in.dir = r.dist
	stdout, stderr, err := in.run(t, "bash", "-c", strings.ReplaceAll(script, "ghcr.io/", r.registry+"/"))
	return stdout + stderr, err
}

// refused checks that each of the commands fails.
func (r *rehearsal) refused(t *testing.T, what string, commands ...string) {
	t.Helper()
	for _, c := range commands {
		if out, err := r.verify(t, c); err == nil {
			t.Errorf("%s passes %q:\n%s", what, c, out)
		}
	}
}

// changedFiles changes a byte of an archive, and then its checksum too.
func (r *rehearsal) changedFiles(t *testing.T) {
	archives, err := filepath.Glob(r.dist + "/predcache_*_linux_amd64.tar.gz")
	if err != nil || len(archives) != 1 {
		t.Fatalf("archives: %q, %v", archives, err)
	}
	before := alter(t, archives[0], func(text []byte) { text[len(text)/2] ^= 1 })
	r.refused(t, "a changed archive", "sha256sum ")
	changed, err := os.ReadFile(archives[0])
	if err != nil {
		t.Fatal(err)
	}
	was, is := sha256.Sum256(before), sha256.Sum256(changed)
	alter(t, r.dist+"/checksums.txt", func(text []byte) {
		copy(text, strings.Replace(string(text), hex.EncodeToString(was[:]), hex.EncodeToString(is[:]), 1))
	})
	if out, err := r.verify(t, "sha256sum "); err != nil {
		t.Fatalf("the test did not change the checksum: %v\n%s", err, out)
	}
	r.refused(t, "a changed archive with its checksum", "cosign verify-blob ")
}

// alter changes a file, and returns what was there. It is put back with the test.
func alter(t *testing.T, file string, change func([]byte)) (before []byte) {
	t.Helper()
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(file, before, 0o644); err != nil {
			t.Error(err)
		}
	})
	text := append([]byte(nil), before...)
	change(text)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return before
}

// changedImages moves the tags to an image and a chart that nobody has signed.
func (r *rehearsal) changedImages(t *testing.T, d *docker) {
	tag := r.registry + "/predcache/worker:v1.2.3"
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/Dockerfile", []byte("FROM "+tag+"\nLABEL changed=yes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.must(t, "build", "--network=none", "--tag", tag, dir)
	r.push(t, d, tag)
	alter(t, r.clone+"/deployments/helm/predcache/templates/NOTES.txt", func(text []byte) { text[0] = '!' })
	r.in.must(t, "deployments/release/chart.sh", "v1.2.3", r.registry+"/predcache", "--plain-http")
	r.refused(t, "a moved tag", `cosign verify "${SIGNER[@]}" "ghcr.io/predcache/worker`, "cosign verify-attestation ", `cosign verify "${SIGNER[@]}" "ghcr.io/predcache/charts`)
}

// checkSBOM says whether the modules that the worker stands on are listed.
func checkSBOM(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var sbom struct{ Packages []struct{ Name string } }
	if err := json.Unmarshal(text, &sbom); err != nil {
		t.Fatal(err)
	}
	for _, p := range sbom.Packages {
		if p.Name == "github.com/aws/aws-sdk-go-v2/service/sqs" {
			return
		}
	}
	t.Errorf("%s lists %d packages, and not the SDK", filepath.Base(file), len(sbom.Packages))
}

func checkSums(t *testing.T, dist string) {
	t.Helper()
	text, err := os.ReadFile(dist + "/checksums.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, line := range lines {
		var want, name string
		fmt.Sscan(line, &want, &name)
		content, err := os.ReadFile(filepath.Join(dist, name))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s has another sum than checksums.txt says", name)
		}
	}
	same(t, "the files with a sum", len(lines), 6)
}
