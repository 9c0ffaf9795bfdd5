package config

import (
	"errors"
	"os"
)

// LoadForTable is Load for commands that use no queue: a missing WORKER_QUEUE_URL is not an error.
func LoadForTable() (*Config, error) { return loadWithout("WORKER_QUEUE_URL") }

// LoadForQueue is Load for commands that use no table: a missing WORKER_TABLE_NAME is not an error.
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
