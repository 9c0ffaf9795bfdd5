package telemetry

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRepeatedLinesAreSummedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := NewLogger(&out, "debug", "text")
		for i := range 200 {
			log.Warn("failing", "part", PartTable, "reason", fmt.Sprintf("no. %d", i))
			if i == 1 {
				log.Warn("failing", "part", PartRejects) // another part: a line of its own
			}
			log.Debug("rejected", "message", i)
			time.Sleep(499 * time.Millisecond)
		}
		log.Info("draining", "held", 3)
		FlushLog(log)
		got := out.String()
		if n := strings.Count(got, "msg=rejected"); n != 200 {
			t.Errorf("%d of 200 debug lines", n)
		}
		var warnings []string
		for l := range strings.Lines(got) {
			if _, after, found := strings.Cut(l, "reason="); found {
				warnings = append(warnings, strings.TrimSpace(after))
			}
		}
		want := []string{`"no. 0"`, `"no. 100" repeats=100 first=2000-01-01T00:00:00Z`, `"no. 101"`, `"no. 199" repeats=98 first=2000-01-01T00:00:50Z`}
		if len(warnings) != len(want) {
			t.Fatalf("the warnings are\n%s", strings.Join(warnings, "\n"))
		}
		for i := range want {
			if warnings[i] != want[i] {
				t.Errorf("line %d is %s, not %s", i, warnings[i], want[i])
			}
		}
		if n := strings.Count(got, `part="the reject queue"`); n != 1 {
			t.Errorf("%d lines of the other part", n)
		}
		if !strings.Contains(got, "msg=draining held=3\n") {
			t.Errorf("the log is %s", got)
		}
	})
}

func TestLogFormatAndLevel(t *testing.T) {
	var out bytes.Buffer
	log := NewLogger(&out, "warn", "json").With("replica", "a")
	log.Info("nothing")
	log.Error("something", "message", "m1")
	log.Error("something", "message", "m2")
	FlushLog(log)
	if n := strings.Count(out.String(), "\n"); n != 2 || !strings.Contains(out.String(), `"msg":"something","replica":"a","message":"m2","repeats":1,"first":"`) {
		t.Errorf("the log is %s", &out)
	}
}

// keys are all that a log line may have beside time, level and msg, each with what it holds. docs/telemetry.md has them.
var keys = map[string]string{
	"admin":     "the address of the status page; empty: there is none",
	"after":     "for how long it failed",
	"detail":    "what is wrong with a field, and what to do; never its value",
	"failures":  "how often it failed since it began to",
	"fault":     "the Go type of a panic's value",
	"field":     "the name of a field, as a dotted path",
	"first":     "when the first of the repeated lines was logged; `time` is the last one's",
	"held":      "messages that are held at this moment",
	"http":      "the address of /livez, /readyz and /metrics",
	"inFlight":  "messages that are received and not deleted, by the queue's estimate",
	"layout":    "the table's layout",
	"objects":   "the buckets and prefixes that may be read, as in WORKER_OBJECTS",
	"owner":     "the account that must own the buckets; empty: any",
	"bucket":    "the object's bucket",
	"key":       "the object's key",
	"offset":    "where the row begins in the object, in bytes of its text",
	"row":       "the number of the row, from 1; 0 in a range",
	"message":   "SQS's id of a message",
	"part":      "what the worker needs: the table, the reject queue, or a call of SQS",
	"queue":     "the queue's URL",
	"reason":    "why: the service's error, or one of the reject reasons of [data-model.md](data-model.md#rejects)",
	"remedy":    "what to do",
	"repeats":   "how many equal lines this one stands for, beside the first, which was logged by itself",
	"retention": "how long the queue keeps a message",
	"since":     "when it began to fail",
	"table":     "the table's name",
	"timeout":   "how long draining may take",
	"variable":  "an environment variable's name",
	"version":   "the worker's version",
}

// A logged is a place in the code that logs.
type logged struct {
	level, message, place string
	keys                  []string
}

// allLogged reads the worker's source for what it logs.
func allLogged(t *testing.T) (all []logged) {
	set := token.NewFileSet()
	for _, root := range []string{"../../cmd", "../../internal"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "awstest") {
				return err
			}
			file, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				return nil //nolint:nilerr // somebody is at it; the compiler will tell
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				f, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, f.Sel.Name) || len(call.Args) == 0 || !isLog(f.X) {
					return true
				}
				l := logged{level: strings.ToLower(f.Sel.Name), message: text(call.Args[0]), place: set.Position(call.Pos()).String()}
				for i := 1; i < len(call.Args); i += 2 {
					l.keys = append(l.keys, text(call.Args[i]))
				}
				all = append(all, l)
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func isLog(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "log" || e.Name == "slog"
	case *ast.SelectorExpr:
		return e.Sel.Name == "log"
	}
	return false
}

// text is a constant text; what is only known when it runs is an ellipsis.
func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil {
			return s
		}
	case *ast.BinaryExpr:
		return text(e.X) + text(e.Y)
	}
	return "…"
}

// maxMessage bounds the message of a line: in a terminal, its keys should be in sight.
const maxMessage = 50

// TestLogsTable holds docs/telemetry.md to what the code logs, and what it logs to the keys.
func TestLogsTable(t *testing.T) {
	const file, begin, end = "../../docs/telemetry.md", "TestLogsTable -update -->\n", "<!-- end -->"
	var b strings.Builder
	b.WriteString("| level | message | keys |\n|---|---|---|\n")
	used := map[string]bool{"repeats": true, "first": true}
	rows := map[string]bool{}
	var order []string
	for _, l := range allLogged(t) {
		for _, k := range l.keys {
			used[k] = true
			if keys[k] == "" {
				t.Errorf("%s: the key %q has no meaning in the list of keys: use one of those, or add it", l.place, k)
			}
		}
		if (l.level == "warn" || l.level == "error") && !slices.Contains(l.keys, "remedy") {
			t.Errorf("%s: a warning says what to do, as the remedy", l.place)
		}
		if strings.ContainsAny(l.message, "…:;") || len(l.message) > maxMessage {
			t.Errorf("%s: %q: a message is short and constant; what differs is under a key", l.place, l.message)
		}
		row := fmt.Sprintf("| %s | %s | %s |\n", l.level, strings.ReplaceAll(l.message, "|", "\\|"), quoted(l.keys))
		if !rows[row] {
			rows[row] = true
			order = append(order, row)
		}
	}
	slices.Sort(order)
	b.WriteString(strings.Join(order, ""))
	b.WriteString("\n| key | holds |\n|---|---|\n")
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if !used[k] {
			t.Errorf("the key %q is used nowhere", k)
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", k, keys[k])
	}
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(doc), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatal("the document has no place for the table")
	}
	want := before + begin + "\n" + b.String() + "\n" + end + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(doc) != want {
		t.Error("docs/telemetry.md is not what the code logs: make docs")
	}
}

func quoted(keys []string) string {
	if len(keys) == 0 {
		return ""
	}
	return "`" + strings.Join(keys, "`, `") + "`"
}
