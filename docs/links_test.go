// Package docs_test checks the links in the project's Markdown, and the references to its pages elsewhere.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	root = ".."
	site = "https://github.com/predcache/predcache/blob/main/"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`^#{1,6} +(.+)$`)
	// reference is a page named in a comment, a help text or an alert, by path or by its address on GitHub.
	reference = regexp.MustCompile(`(` + regexp.QuoteMeta(site) + `|\b)docs/[a-z-]+\.md(#[a-z0-9_-]+)?`)
	dropped   = regexp.MustCompile(`[^\p{L}\p{N}_\- ]`)
)

// files lists the project's own text files with one of these suffixes, as paths from the root.
func files(t *testing.T, suffixes ...string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && strings.HasPrefix(name, ".") && name != ".github" || name == "bin" || name == "node_modules" || name == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		for _, s := range suffixes {
			if strings.HasSuffix(name, s) {
				relative, err := filepath.Rel(root, path)
				paths = append(paths, filepath.ToSlash(relative))
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// prose returns a file's lines without its fenced code blocks.
func prose(t *testing.T, path string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	fenced := false
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			continue
		}
		if !fenced {
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	return lines
}

// anchors returns the anchors that GitHub gives a page's headings.
func anchors(t *testing.T, path string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, line := range prose(t, path) {
		if m := heading.FindStringSubmatch(line); m != nil {
			text := link.ReplaceAllString(m[1], "]")
			found[strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(text), ""), " ", "-")] = true
		}
	}
	return found
}

// check reports a target, a path from the root with an optional anchor, that does not exist.
func check(t *testing.T, from, target string) {
	t.Helper()
	path, anchor, _ := strings.Cut(target, "#")
	if _, err := os.Stat(filepath.Join(root, path)); err != nil {
		t.Errorf("%s: %s does not exist", from, path)
		return
	}
	if anchor != "" && strings.HasSuffix(path, ".md") && !anchors(t, path)[anchor] {
		t.Errorf("%s: %s has no heading with the anchor #%s", from, path, anchor)
	}
}

func TestLinks(t *testing.T) {
	n := 0
	for _, from := range files(t, ".md") {
		for _, line := range prose(t, from) {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				target, ours := strings.CutPrefix(m[1], site)
				switch {
				case ours:
				case strings.Contains(target, "://"), strings.HasPrefix(target, "mailto:"):
					continue
				case strings.HasPrefix(target, "#"):
					target = from + target
				default:
					target = filepath.ToSlash(filepath.Join(filepath.Dir(from), target))
				}
				check(t, from, target)
				n++
			}
		}
	}
	if n < 50 {
		t.Errorf("found only %d links: the test no longer sees them", n)
	}
}

func TestReferences(t *testing.T) {
	n := 0
	for _, from := range files(t, ".go", ".mk", "Makefile", ".yaml", ".yml", ".json", ".tpl", ".txt", ".md", ".py", ".html", ".js") {
		text, err := os.ReadFile(filepath.Join(root, from))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range reference.FindAllString(string(text), -1) {
			check(t, from, strings.TrimPrefix(m, site))
			n++
		}
	}
	if n < 30 {
		t.Errorf("found only %d references: the test no longer sees them", n)
	}
}

func TestREADME(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range files(t, ".md") {
		if strings.HasPrefix(page, "docs/") && !strings.Contains(string(text), "]("+page) {
			t.Errorf("README.md does not link to %s", page)
		}
	}
}

// TestPackageMap checks that docs/architecture.md lists every internal package.
func TestPackageMap(t *testing.T) {
	text, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	packages, err := os.ReadDir(filepath.Join(root, "internal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages {
		if name := "`internal/" + p.Name() + "`"; p.IsDir() && !strings.Contains(string(text), name) {
			t.Errorf("docs/architecture.md does not list %s: add it to the table of packages", name)
		}
	}
}
