package main

import (
	"context"

	"github.com/predcache/predcache/internal/config"
)

// A simMutant is a deliberate bug, put in at the worker's seams.
type simMutant struct {
	name     string
	config   func(*config.Config)
	services func(s *services, intake context.Context)
	pipeline func(*pipeline)
}
