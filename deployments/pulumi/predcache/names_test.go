package predcache

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// A second stack in an account and a region clashes with nothing.
func TestServiceNamesAreTheStacks(t *testing.T) {
	names := map[string]bool{}
	for _, stack := range []string{"production", "v1.staging"} {
		r := &recorder{resources: map[string]object{}}
		if err := pulumi.RunErr(func(ctx *pulumi.Context) error {
			c, err := New(ctx, "predictions", Args{Alarms: &Alarms{}, Dashboard: true, PodIdentity: true, Redrive: true, Scaler: true})
			if err != nil {
				return err
			}
			_, err = NewService(ctx, "worker", c, onFargate)
			return err
		}, pulumi.WithMocks("predcache", stack, r)); err != nil {
			t.Fatal(err)
		}
		for resource, inputs := range r.resources {
			// Pulumi makes up the names that are not set here, with a random end.
			for _, field := range []string{"name", "family", "policyName", "namePrefix", "dashboardName"} {
				if name, set := inputs[field].(string); set && !strings.Contains(resource, "aws:appautoscaling/policy") {
					if names[name] {
						t.Errorf("both stacks name their %s %s", resource, name)
					}
					names[name] = true
				}
			}
		}
	}
	for _, name := range []string{"/predcache/production/worker", "predcache-production-worker", "/predcache/v1.staging/worker", "predcache-v1-staging-worker"} {
		if !names[name] {
			t.Errorf("nothing is named %s: %v", name, names)
		}
	}
}
