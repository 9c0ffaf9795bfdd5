package config

import "errors"

// LoadForTable is Load for commands that need no queue: that none is set is no error.
func LoadForTable() (*Config, error) {
	c, err := Load()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return c, err
	}
	var left []error
	for _, err := range joined.Unwrap() {
		if c.QueueURL != "" || subject(err) != "WORKER_QUEUE_URL" {
			left = append(left, err)
		}
	}
	return c, errors.Join(left...)
}
