package statuspage

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocs holds docs/operations.md to the fields of /status.json and to the states.
func TestDocs(t *testing.T) {
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	section := func(heading string) string {
		_, rest, found := strings.Cut(string(doc), "\n### "+heading+"\n")
		if !found {
			t.Fatalf("there is no section %q", heading)
		}
		text, _, _ := strings.Cut(rest, "\n## ")
		text, _, _ = strings.Cut(text, "\n### ")
		return text
	}
	var said []string
	for _, line := range strings.Split(section("For scripts"), "\n") {
		if fields, rest, found := strings.Cut(strings.TrimPrefix(line, "| "), " | "); found && strings.HasPrefix(line, "| `") && rest != "" {
			for _, name := range regexp.MustCompile("`([a-zA-Z]+)`").FindAllStringSubmatch(fields, -1) {
				said = append(said, name[1])
			}
		}
	}
	has := []string{"facts"}
	for snapshot, i := reflect.TypeFor[Snapshot](), 0; i < snapshot.NumField(); i++ {
		name, _, _ := strings.Cut(snapshot.Field(i).Tag.Get("json"), ",")
		has = append(has, name)
	}
	slices.Sort(said)
	slices.Sort(has)
	if !slices.Equal(said, has) {
		t.Errorf("docs/operations.md describes %q, /status.json has %q", said, has)
	}
	states := section("States")
	for state := range levels {
		if !strings.Contains(states, "`"+string(state)+"`") {
			t.Errorf("docs/operations.md does not describe the state %s", state)
		}
	}
}
