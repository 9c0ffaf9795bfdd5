package deployments

import (
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Dependabot has to know of every file that names a version.
func TestBotKnowsEveryManifest(t *testing.T) {
	text, err := os.ReadFile("../.github/dependabot.yml")
	if err != nil {
		t.Fatal(err)
	}
	var conf struct {
		Updates []struct {
			Ecosystem   string `yaml:"package-ecosystem"`
			Directory   string
			Directories []string
		}
	}
	if err := yaml.Unmarshal(text, &conf); err != nil {
		t.Fatal(err)
	}
	known := map[string][]string{}
	for _, u := range conf.Updates {
		known[u.Ecosystem] = append(known[u.Ecosystem], append(u.Directories, u.Directory)...)
	}
	if !slices.Contains(known["github-actions"], "/") {
		t.Error("the workflows' actions are not kept up")
	}
	manifests := map[string][]string{
		"gomod": {"go.mod"}, "docker": {"Dockerfile"}, "pip": {"requirements*.txt", "pyproject.toml"},
	}
	for ecosystem, patterns := range manifests {
		args := []string{"ls-files", "--"}
		for _, p := range patterns {
			args = append(args, p, "*/"+p)
		}
		found := strings.Fields(command{dir: ".."}.must(t, "git", args...))
		if len(found) == 0 {
			t.Errorf("there are no %q", patterns)
		}
		for _, file := range found {
			if dir := path.Join("/", path.Dir(file)); !slices.Contains(known[ecosystem], dir) {
				t.Errorf("%s: .github/dependabot.yml has no %s of %s", file, ecosystem, dir)
			}
		}
	}
}

// Each base of the image is pinned by digest on a FROM line, which the bot reads, or is one of the file's own stages.
func TestBaseImagesArePinned(t *testing.T) {
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	defaults, stages, pinned := map[string]string{}, []string{"scratch"}, 0
	for _, arg := range regexp.MustCompile(`(?m)^ARG (\w+)=(\S+)$`).FindAllStringSubmatch(string(text), -1) {
		defaults["${"+arg[1]+"}"] = arg[2]
	}
	from := regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+)(?: AS (\w+))?$`).FindAllStringSubmatch(string(text), -1)
	for _, line := range from {
		if line[2] != "" {
			stages = append(stages, line[2])
		}
	}
	for _, line := range from {
		image := line[1]
		if strings.HasPrefix(image, "${") {
			image = defaults[image]
		}
		switch {
		case regexp.MustCompile(`^[a-z/.]+:[\w.-]+@sha256:[0-9a-f]{64}$`).MatchString(image):
			pinned++
		case !slices.Contains(stages, image):
			t.Errorf("%s has no digest", line[0])
		}
	}
	if pinned == 0 {
		t.Errorf("no base of %q is pinned", from)
	}
}

// What is rehearsed is what the workflow runs, and who verifies a release is told the workflow that signed it.
func TestWorkflowReleasesAsRehearsed(t *testing.T) {
	read := func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	workflow, rehearsal := read("../.github/workflows/release.yml"), read("release_long_test.go")
	for _, script := range []string{"chart.sh", "sign.sh"} {
		for where, text := range map[string]string{"the workflow": workflow, "the rehearsal": rehearsal} {
			if !strings.Contains(text, "deployments/release/"+script) {
				t.Errorf("%s doesn't run %s", where, script)
			}
		}
	}
	if !strings.Contains(read("../.goreleaser.yaml"), "cmd: deployments/release/cosign.sh") {
		t.Error("goreleaser doesn't sign by cosign.sh")
	}
	security := read("../SECURITY.md")
	for _, published := range regexp.MustCompile(`ghcr\.io/predcache/[a-z/]+[a-z]`).FindAllString(workflow, -1) {
		if !strings.Contains(security, `"`+published+":") {
			t.Errorf("SECURITY.md doesn't say how to verify %s", published)
		}
	}
	const identity = "https://github.com/predcache/predcache/.github/workflows/release.yml@refs/tags/"
	_, expression, _ := strings.Cut(security, "```text\n")
	expression, _, _ = strings.Cut(expression, "\n")
	pattern, err := regexp.Compile(expression)
	if err != nil || !strings.Contains(security, identity+"$VERSION") {
		t.Fatalf("SECURITY.md: the identity of the signer: %v", err)
	}
	for tag, want := range map[string]bool{"v1.2.3": true, "v1.2.3-rc.1": true, "v1.2.3/../../x": false, "main": false, "": false} {
		if pattern.MatchString(identity+tag) != want {
			t.Errorf("the tag %q: want %v", tag, want)
		}
	}
	for _, other := range []string{"x" + identity + "v1.2.3", strings.Replace(identity, "release", "test", 1) + "v1.2.3", strings.Replace(identity, "predcache/predcache", "someone/predcache", 1) + "v1.2.3"} {
		if pattern.MatchString(other) {
			t.Errorf("%s passes as the signer", other)
		}
	}
}
