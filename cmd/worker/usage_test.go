package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/predcache/predcache/internal/workertest"
)

var update = flag.Bool("update", false, "write the golden files of the help")

// invoke runs a command line as main does.
func invoke(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	status = exitStatus(dispatch(t.Context(), args, strings.NewReader(stdin), &out, &err), &err)
	return status, out.String(), err.String()
}

func TestHelp(t *testing.T) {
	names := []string{""}
	for _, c := range newRoot().Commands() {
		names = append(names, c.Name())
	}
	for _, name := range append(names, "completion") {
		t.Run(name, func(t *testing.T) {
			args := []string{name, "--help"}
			file := filepath.Join("testdata", "help", name+".txt")
			if name == "" {
				args, file = args[1:], filepath.Join("testdata", "help", "worker.txt")
			}
			status, got, stderr := invoke(t, "", args...)
			if status != 0 || stderr != "" {
				t.Fatalf("status %d, stderr %q", status, stderr)
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("worker %s prints\n%s\nwant %s (go test ./cmd/worker -run TestHelp -update)", args, got, file)
			}
			for line := range strings.Lines(got) {
				if len(line) > 121 {
					t.Errorf("a line of %d characters: %s", len(line)-1, line)
				}
			}
			if status, again, _ := invoke(t, "", slices.DeleteFunc([]string{"help", name}, func(s string) bool { return s == "" })...); status != 0 || again != got {
				t.Errorf("worker help %s prints\n%s", name, again)
			}
		})
	}
}

func TestUsageErrors(t *testing.T) {
	for _, test := range []struct {
		args string
		want string
	}{
		{"", "worker: no command was given\nRun `worker --help`"},
		{"chekc", `unknown command "chekc". Did you mean check?`},
		{"help chekc", `unknown command "chekc". Did you mean check?`},
		{"teleport", "unknown command \"teleport\"\n"},
		{"--walk", "unknown flag: --walk\nRun `worker --help`"},
		{"run now", "worker run takes no arguments, but got 1 (now)\nRun `worker run --help`"},
		{"check --nonsense", "unknown flag: --nonsense"},
		{"config --markdown=perhaps", `invalid argument "perhaps" for "--markdown"`},
		{"health -r", "unknown shorthand flag: 'r' in -r\n"},
		{"get", "worker get takes 1 argument, but got none"},
		{"get a b", "worker get takes 1 argument, but got 2 (a b)"},
		{"get -5", "Put -- before a value that begins with a dash: worker get -- -5"},
		{"publish", "worker publish takes 1 argument, but got none"},
		{"publish a b --pack", "worker publish takes 1 argument, but got 2 (a b)"},
		{"warm", "warm takes at least one file"},
		{"warm --every soon -", `invalid argument "soon" for "--every"`},
		{"erase", "erase takes at least one id, - for standard input, or --file"},
		{"erase --file ids.txt a", "give ids as arguments or by --file, not both"},
		{"erase - a", "give ids as arguments or on standard input (-), not both"},
		{"erase -5", "Put -- before a value that begins with a dash: worker erase -- -5"},
		{"redrive --all --reason key", "use --reason or --all, not both"},
		{"redrive --all --rate 0", "--rate is 0, and must be at least 1"},
		{"redrive --rate", "flag needs an argument: --rate"},
		{"version 2", "worker version takes no arguments"},
	} {
		t.Run(test.args, func(t *testing.T) {
			status, stdout, stderr := invoke(t, "", strings.Fields(test.args)...)
			if status != 2 || stdout != "" || !strings.Contains(stderr, test.want) {
				t.Errorf("status %d, stdout %q, stderr %q; want 2, nothing, %q", status, stdout, stderr, test.want)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	for _, arg := range []string{"version", "--version"} {
		if status, stdout, stderr := invoke(t, "", arg); status != 0 || !strings.HasPrefix(stdout, "predcache worker ") || stderr != "" {
			t.Errorf("worker %s: status %d, %q, %q", arg, status, stdout, stderr)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if status, stdout, _ := invoke(t, "", "completion", shell); status != 0 || !strings.Contains(stdout, "__complete") {
			t.Errorf("worker completion %s: status %d, %d bytes", shell, status, len(stdout))
		}
	}
	for _, test := range []struct{ args, want string }{
		{"re", "redrive\t"},
		{"help pub", "publish\t"},
		{"redrive --re", "--reason\t"},
		{"redrive --reason missing_f", "missing_field"},
		{"publish ", ":0\n"}, // the shell completes names of files
		{"get ", ":4\n"},     // and here none
	} {
		i := strings.LastIndexByte(test.args, ' ') + 1
		args := append(append([]string{"__complete"}, strings.Fields(test.args[:i])...), test.args[i:])
		if status, stdout, _ := invoke(t, "", args...); status != 0 || !strings.Contains(stdout, test.want) {
			t.Errorf("worker %q: status %d, %q, want %q", args, status, stdout, test.want)
		}
	}
}

// runCommand runs a command line and returns what it printed on both streams.
func runCommand(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out workertest.LogBuffer
	err := dispatch(t.Context(), args, nil, &out, &out)
	return out.String(), err
}
