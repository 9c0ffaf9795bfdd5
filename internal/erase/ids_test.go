package erase_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/predcache/predcache/internal/erase"
)

func TestReadIDs(t *testing.T) {
	for text, want := range map[string][]string{
		"":                            nil,
		"\n\n":                        nil,
		"a\nb":                        {"a", "b"},
		"\ufeffa\r\n\r\n b \r\nc,d\n": {"a", " b ", "c,d"},
	} {
		if got, err := erase.ReadIDs(strings.NewReader(text)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	if _, err := erase.ReadIDs(strings.NewReader("a\n" + strings.Repeat("x", 3000))); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a long line: %v", err)
	}
	endless := io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)), iotest.ErrReader(errors.New("read too far")))
	if _, err := erase.ReadIDs(endless); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a file without line ends: %v", err)
	}
}
