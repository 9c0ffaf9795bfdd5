package predcache

import (
	"errors"
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	stackconfig "github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

// Program is the program of a stack: a prediction cache by the stack's configuration predcache:cache, and the worker on ECS if
// predcache:service is set.
func Program(ctx *pulumi.Context) error {
	conf := stackconfig.New(ctx, "predcache")
	var args Args
	if err := conf.TryObject("cache", &args); err != nil && !errors.Is(err, stackconfig.ErrMissingVar) {
		return fmt.Errorf("reading predcache:cache: %w", err)
	}
	cache, err := New(ctx, "predictions", args)
	if err != nil {
		return err
	}
	for name, value := range cache.Outputs() {
		ctx.Export(name, value)
	}
	var service ServiceArgs
	switch err := conf.TryObject("service", &service); {
	case errors.Is(err, stackconfig.ErrMissingVar):
		return nil
	case err != nil:
		return fmt.Errorf("reading predcache:service: %w", err)
	}
	s, err := NewService(ctx, "worker", cache, service)
	if err != nil {
		return err
	}
	ctx.Export("service_name", s.Service.Name)
	ctx.Export("task_definition_arn", s.TaskDefinition.Arn)
	ctx.Export("log_group_name", s.LogGroup.Name)
	return nil
}
