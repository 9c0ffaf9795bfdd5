package expect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// CompareItems says how the table differs from what it must hold, one line for each difference.
func (o *Outcome) CompareItems(got []Item, layout Layout) []string {
	var differences []string
	differ := func(format string, args ...any) { differences = append(differences, fmt.Sprintf(format, args...)) }

	left := maps.Clone(o.Items)
	for _, item := range got {
		key := item.Key(layout)
		want, found := left[key]
		delete(left, key)
		if !found {
			differ("the table holds %s, which nothing published explains", key)
			continue
		}
		names := slices.Sorted(maps.Keys(want))
		for name := range item {
			if _, found := want[name]; !found {
				names = append(names, name)
			}
		}
		for _, name := range names {
			if item[name] != want[name] {
				differ("the table's %s has %s = %s, but published was %s", key, name, orNothing(item[name]), orNothing(want[name]))
			}
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(left), compareKeys) {
		differ("the table lacks %s", key)
	}
	return differences
}

// CompareRejects says how the reject queue differs from what it must hold.
func (o *Outcome) CompareRejects(got []Reject) []string {
	var differences []string
	left := maps.Clone(o.Rejects)
	for _, r := range got {
		if left[r]--; left[r] < 0 {
			differences = append(differences, fmt.Sprintf("the reject queue holds, for the reason %q, what should not be there: %.200s", r.Reason, r.Body))
		}
	}
	for r, n := range left {
		if n > 0 {
			differences = append(differences, fmt.Sprintf("the reject queue lacks, for the reason %q: %.200s", r.Reason, r.Body))
		}
	}
	slices.Sort(differences)
	return differences
}

func (k Key) String() string {
	id := strings.TrimPrefix(k.ID, "S ")
	if k.Sort == "" {
		return id
	}
	return id + " at " + strings.TrimPrefix(k.Sort, "N ")
}

func compareKeys(a, b Key) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Sort, b.Sort)) }

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}
