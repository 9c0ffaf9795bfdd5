package erase

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/predcache/predcache/internal/item"
)

// ReadIDs reads ids, one per line. It skips empty lines, and accepts a byte order mark and line ends of Windows. A line longer than
// any key is an error.
func ReadIDs(r io.Reader) ([]string, error) {
	const longest = item.MaxHashBytes + len("\r\n")
	lines := bufio.NewReaderSize(r, 64<<10) // a file that is no list may have no line end in gigabytes
	var ids []string
	for n := 1; ; n++ {
		text, err := lines.ReadSlice('\n')
		end, tooLong := errors.Is(err, io.EOF), errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !end && !tooLong {
			return nil, fmt.Errorf("reading the ids: %w", err)
		}
		line := string(text)
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if len(line) > longest {
			return nil, fmt.Errorf("line %d of the ids has more than the %d bytes of a key: give one id per line", n, item.MaxHashBytes)
		}
		if id := strings.TrimRight(line, "\r\n"); id != "" {
			ids = append(ids, id)
		}
		if end {
			return ids, nil
		}
	}
}

// keysOf returns the partition key of each id, without repeats.
func keysOf(layout *item.Layout, ids []string) ([]string, error) {
	keys := make([]string, 0, len(ids))
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		key, err := layout.ReadKey(id)
		if err != nil {
			return nil, fmt.Errorf("the id %.60q: %w", id, err)
		}
		if !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// digest identifies a list of ids in the state of a run, which must not hold the ids themselves.
func digest(keys []string) string {
	h := sha256.New()
	for _, key := range keys {
		fmt.Fprintf(h, "%d:%s", len(key), key)
	}
	return hex.EncodeToString(h.Sum(nil))
}
