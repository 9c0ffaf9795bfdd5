// Command pulumi is the program of the stack: a prediction cache by the stack's configuration, and by choice the worker on ECS.
package main

import (
	"errors"
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/predcache/predcache/deployments/pulumi/predcache"
)

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	conf := config.New(ctx, "predcache")
	var args predcache.Args
	if err := conf.TryObject("cache", &args); err != nil && !errors.Is(err, config.ErrMissingVar) {
		return fmt.Errorf("reading predcache:cache: %w", err)
	}
	cache, err := predcache.New(ctx, "predictions", args)
	if err != nil {
		return err
	}
	for name, value := range cache.Outputs() {
		ctx.Export(name, value)
	}
	var service predcache.ServiceArgs
	switch err := conf.TryObject("service", &service); {
	case errors.Is(err, config.ErrMissingVar):
		return nil
	case err != nil:
		return fmt.Errorf("reading predcache:service: %w", err)
	}
	s, err := predcache.NewService(ctx, "worker", cache, service)
	if err != nil {
		return err
	}
	ctx.Export("service_name", s.Service.Name)
	ctx.Export("task_definition_arn", s.TaskDefinition.Arn)
	ctx.Export("log_group_name", s.LogGroup.Name)
	return nil
}
