// Command pulumi is the program of the stack: a prediction cache by the stack's configuration, and by choice the worker on ECS.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/predcache/predcache/deployments/pulumi/predcache"
)

func main() { pulumi.Run(predcache.Program) }
