package worker

import (
	"slices"
	"testing"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/config"
)

// The worker sends ranges to the objects queue, so it needs more of that queue's key than a consumer does.
func TestUnverified_key_of_the_objects_queue(t *testing.T) {
	cfg := &config.Config{ObjectsQueueURL: "https://sqs.eu-west-1.amazonaws.com/123456789012/objects"}
	r := &Resources{Queue: &awsclient.QueueInfo{KMSKey: "k1"}, Objects: &awsclient.QueueInfo{KMSKey: "k3"}}
	var got []string
	for _, p := range r.Unverified(cfg) {
		got = append(got, p.String())
	}
	for _, want := range []string{"kms:Decrypt on k1", "kms:GenerateDataKey, kms:Decrypt on k3", "s3:GetObject on the objects"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is missing in %q", want, got)
		}
	}
}
