package main

import (
	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/consumer"
	"github.com/predcache/predcache/internal/writer"
)

// hotPath returns the queue and the table by WORKER_CLIENT: by our own requests, or by the SDK's clients.
func hotPath(cfg *config.Config, found *findings, clients *awsclient.Clients, spent func(units float64)) (consumer.Queue, writer.Table) {
	table := awsclient.NewTable(clients, cfg.TableName, found.layout, spent)
	if cfg.Client == config.ClientSDK {
		return awsclient.NewQueue(clients, cfg.QueueURL), table
	}
	return awsclient.NewDirectQueue(clients, cfg.QueueURL), awsclient.NewDirectTable(table)
}

// connections is how many calls to a service may be under way, with some to spare for what is asked at the start.
func connections(cfg *config.Config) int {
	writes := cfg.WriteConcurrency
	if cfg.Ordering == config.OrderingNewest {
		writes *= writer.PutsAtOnce
	}
	return 2*cfg.Pollers + writes + 8
}
