package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/predcache/predcache/internal/item"
)

// schemaAuto is the WORKER_TABLE_SCHEMA that reads the schema from the table.
const schemaAuto = "auto"

// Table returns the table as WORKER_TABLE_SCHEMA describes it. It returns false if the schema must be read from the table.
func (c *Config) Table() (item.Table, bool) {
	t, err := c.schema()
	return t, err == nil && c.TableSchema != schemaAuto
}

// schema parses WORKER_TABLE_SCHEMA.
func (c *Config) schema() (item.Table, error) {
	var t item.Table
	if c.TableSchema == schemaAuto {
		return t, nil
	}
	wrong := errors.New("must be auto, or like hash=predictionId:S,sort=timestamp,ttl=expiresAt")
	for part := range strings.SplitSeq(c.TableSchema, ",") {
		role, name, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch role {
		case "hash":
			t.HashKey, t.HashType = name, item.TypeS
			if key, kind, typed := strings.Cut(name, ":"); typed {
				t.HashKey, t.HashType = key, item.KeyType(kind)
			}
		case "sort":
			t.SortKey, t.SortType = name, item.TypeN
		case "ttl":
			t.TTLAttribute = name
		default:
			return t, wrong
		}
		if name == "" {
			return t, wrong
		}
	}
	if t.HashKey == "" || t.HashType != item.TypeS && t.HashType != item.TypeN {
		return t, wrong
	}
	return t, nil
}

// NewLayout returns the layout of a table under these settings.
func (c *Config) NewLayout(t item.Table) (*item.Layout, error) {
	o := item.Options{PerSecond: 1, Encoding: c.PayloadEncoding, AllowNoTTL: c.AllowNoTTL, Ordered: c.Ordering == OrderingNewest}
	if c.SortUnit == "ms" {
		o.PerSecond = 1000
	}
	l, err := item.NewLayout(t, o)
	switch {
	case err != nil:
		return nil, err //nolint:wrapcheck // each of its lines names what to change
	case l.Kind == item.ExpirySorted && c.TTLJitter > 0:
		return nil, fmt.Errorf("WORKER_TTL_JITTER is %v, but the table is sorted by expiry and jitter would break that order: set it to 0, or use the versioned layout", c.TTLJitter)
	case l.Kind != item.Versioned && c.Deletes != DeletesOff && !l.Ordered:
		return nil, fmt.Errorf("WORKER_DELETES is %s, but in the %s layout a prediction and a delete can have the same key, and an older prediction could replace the delete: set WORKER_ORDERING=newest, or use the versioned layout", c.Deletes, l.Kind)
	}
	return l, nil
}
