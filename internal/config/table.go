package config

import (
	"errors"
	"os"
)

// LoadForTable is Load for commands that need no queue: that none is set is no error.
func LoadForTable() (*Config, error) { return loadWithout("WORKER_QUEUE_URL") }

// LoadForQueue is Load for commands that need no table: that none is set is no error.
func LoadForQueue() (*Config, error) { return loadWithout("WORKER_TABLE_NAME") }

func loadWithout(setting string) (*Config, error) {
	c, err := Load()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return c, err
	}
	var left []error
	for _, err := range joined.Unwrap() {
		if os.Getenv(setting) != "" || subject(err) != setting {
			left = append(left, err)
		}
	}
	return c, errors.Join(left...)
}
