//go:build long

package deployments

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestRelease makes a release of a clone without publishing it. The images are left out: they are built from the same binaries by
// the same Dockerfile, which TestImage does, and buildx can't be had everywhere.
func TestRelease(t *testing.T) {
	bin, err := filepath.Abs("../.cache/deploy/bin")
	if err != nil {
		t.Fatal(err)
	}
	clone := filepath.Join(t.TempDir(), "clone")
	command{}.must(t, "git", "clone", "--quiet", "..", clone)
	in := command{dir: clone, limit: 25 * time.Minute, env: []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "SYFT_CHECK_FOR_APP_UPDATE=false"}}
	in.must(t, "git", "remote", "set-url", "origin", "https://github.com/predcache/predcache.git")
	in.must(t, "git", "tag", "v1.2.3")
	in.must(t, tool(t, "goreleaser"), "check")
	in.must(t, tool(t, "goreleaser"), "release", "--snapshot", "--clean", "--skip=docker", "--parallelism=1")

	dist := filepath.Join(clone, "dist")
	var artifacts []struct{ Name, Path, Type, Goos, Goarch string }
	text, err := os.ReadFile(dist + "/artifacts.json")
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
			out := command{}.must(t, filepath.Join(clone, a.Path), "version")
			if !strings.HasPrefix(out, "predcache worker v1.2.") {
				t.Errorf("worker version says %q", out)
			}
		}
		if a.Type == "SBOM" {
			checkSBOM(t, filepath.Join(clone, a.Path))
		}
	}
	same(t, "what was made", []int{count["Binary"], count["Archive"], count["SBOM"], count["Checksum"]}, []int{3, 3, 3, 1})
	checkSums(t, dist)
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
