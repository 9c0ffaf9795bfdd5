package worker

import (
	"strings"

	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
)

// A Permission is what the worker's role needs while it runs.
type Permission struct {
	On      string // the resource, such as "the queue"
	Actions []string
}

// Unverified returns the permissions that FindResources did not need. Only a receive, a send or a write shows whether the role has them.
func (r *Resources) Unverified(cfg *config.Config) []Permission {
	write := "dynamodb:BatchWriteItem"
	if cfg.Ordering == config.OrderingNewest {
		write = "dynamodb:PutItem"
	}
	needed := []Permission{
		{"the queue", []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"}},
		{"the table", []string{write}},
	}
	if cfg.Deletes == config.DeletesRemove && (r.Layout == nil || r.Layout.Kind != item.LatestOnly) { // nil: the table can't be used
		needed = append(needed, Permission{"the table", []string{"dynamodb:Query", "dynamodb:DeleteItem"}})
	}
	if cfg.RejectQueueURL != "" {
		needed = append(needed, Permission{"the reject queue", []string{"sqs:SendMessage"}})
	}
	if cfg.ObjectsQueueURL != "" {
		needed = append(needed,
			Permission{"the objects queue", []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:SendMessage"}},
			Permission{"the objects", []string{"s3:GetObject"}})
	}
	// The permissions are those of "Configuring AWS KMS permissions" (Amazon SQS Developer Guide, "Key management").
	if r.Queue != nil && r.Queue.KMSKey != "" {
		needed = append(needed, Permission{r.Queue.KMSKey, []string{"kms:Decrypt"}})
	}
	if r.Rejects != nil && r.Rejects.KMSKey != "" {
		needed = append(needed, Permission{r.Rejects.KMSKey, []string{"kms:GenerateDataKey", "kms:Decrypt"}})
	}
	if r.Objects != nil && r.Objects.KMSKey != "" { // ranges are sent to it
		needed = append(needed, Permission{r.Objects.KMSKey, []string{"kms:GenerateDataKey", "kms:Decrypt"}})
	}
	return needed
}

// String returns the permission as a line of `worker check`.
func (p Permission) String() string { return strings.Join(p.Actions, ", ") + " on " + p.On }
