package predcache

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// A Layout says how the table keeps predictions. See docs/data-model.md.
type Layout string

// The layouts.
const (
	// Versioned keeps each version of a prediction: the sort key is the event time, expiry an attribute of its own.
	Versioned Layout = "versioned"
	// ExpirySorted is the original design: the sort key is the expiry, and the TTL attribute.
	ExpirySorted Layout = "expiry-sorted"
	// LatestOnly keeps one item for each prediction's id.
	LatestOnly Layout = "latest-only"
)

// Billing of the table.
const (
	OnDemand    = "on-demand"
	Provisioned = "provisioned"
)

// Args of a Cache. The zero value is a versioned table on demand, with its queues and policies and nothing else.
type Args struct {
	Layout      Layout `json:"layout"`      // versioned unless set
	TableName   string `json:"tableName"`   // Pulumi's own naming unless set
	HashKey     string `json:"hashKey"`     // predictionId unless set
	HashKeyType string `json:"hashKeyType"` // S or N; S unless set
	SortKey     string `json:"sortKey"`     // timestamp unless set

	// ImportTable imports the table TableName, which exists and belongs to no stack or to another one. Pulumi refuses that where
	// it would have to replace the table; it changes in place what else differs. It has no effect once the table is in the stack.
	ImportTable bool `json:"importTable"`
	// TableAliases are the names of the resource by which an earlier program of this stack declared the table at its top level,
	// or its URNs. The table stays as it is; TableName must be its name, since Pulumi would replace it for another one.
	TableAliases []string `json:"tableAliases"`

	Billing Billing `json:"billing"`
	// PointInTimeRecovery keeps 35 days of backups. A cache can be computed again, so it is off unless set.
	PointInTimeRecovery bool `json:"pointInTimeRecovery"`
	DeletionProtection  bool `json:"deletionProtection"`
	// KeyArn is a customer key of KMS for the table and the queues. AWS's own are used unless set. Its key policy must let
	// the account's IAM policies permit its use.
	KeyArn string `json:"keyArn"`

	Queue   Queue    `json:"queue"`
	Objects *Objects `json:"objects"` // batch outputs in S3; none unless set
	Alarms  *Alarms  `json:"alarms"`  // none unless set
	// Dashboard makes a CloudWatch dashboard of the queues and the table, and of the workers with WORKER_METRICS=emf.
	Dashboard bool `json:"dashboard"`
	// WorkerSettings are environment variables of the worker: its settings by their names, WORKER_TTL and so on, and those of
	// the OpenTelemetry SDK (OTEL_) and of the Go runtime (GO). Unknown settings and values of another type are refused.
	WorkerSettings map[string]string `json:"workerSettings"`
	// PodIdentity makes a role that EKS Pod Identity may give to the worker's pods.
	PodIdentity bool `json:"podIdentity"`
	// Redrive makes a policy for whoever sends rejects and dead letters back to the queue.
	Redrive bool `json:"redrive"`
	// Scaler makes a policy for KEDA's operator.
	Scaler bool `json:"scaler"`

	// Tags of everything. Environment=Production and Purpose=CachePredictionOutputs unless they are set here.
	Tags map[string]string `json:"tags"`
}

// Billing of the table.
type Billing struct {
	Mode string `json:"mode"` // on-demand unless set, or provisioned
	// MaxReadUnits and MaxWriteUnits bound what a table on demand may use in a second, and so what it may cost; no bound
	// where they are 0. A provisioned table is scaled up to them.
	MaxReadUnits  int `json:"maxReadUnits"`
	MaxWriteUnits int `json:"maxWriteUnits"`
	// MinReadUnits and MinWriteUnits are the least capacity of a provisioned table.
	MinReadUnits  int `json:"minReadUnits"`
	MinWriteUnits int `json:"minWriteUnits"`
	// TargetUtilization is the share in percent at which a provisioned table is scaled; 70 unless set.
	TargetUtilization float64 `json:"targetUtilization"`
}

// Queue is the queue with its dead-letter and reject queues.
type Queue struct {
	// VisibilitySeconds is the queue's visibility timeout: 60 unless set, at least 30. The worker extends it while it holds a
	// message, so it is how long a message stays invisible after a kill. The objects queue has at least 120.
	VisibilitySeconds int `json:"visibilitySeconds"`
	// RetentionDays is how long messages are kept; 14, the maximum, unless set.
	RetentionDays int `json:"retentionDays"`
	// MaxReceives sends a message to the dead-letter queue; 50 unless set. The worker rejects poison itself, so a low limit
	// would only move good messages there after a few restarts.
	MaxReceives int `json:"maxReceives"`
	// NoRejectQueue leaves the reject queue out. Bad messages then end in the dead-letter queue, much later.
	NoRejectQueue bool `json:"noRejectQueue"`
}

// Alarms are the CloudWatch alarms on the metrics of the queues, and of the workers with WORKER_METRICS=emf.
type Alarms struct {
	// Topics are the ARNs of the SNS topics to notify.
	Topics []string `json:"topics"`
	// MaxAgeSeconds is the maximum age of the oldest message; 300 unless set.
	MaxAgeSeconds int `json:"maxAgeSeconds"`
}

// withDefaults fills in the defaults and reports all errors at once.
func (a Args) withDefaults() (Args, error) {
	orDefault(&a.Layout, Versioned)
	orDefault(&a.HashKey, "predictionId")
	orDefault(&a.HashKeyType, "S")
	orDefault(&a.SortKey, "timestamp")
	orDefault(&a.Billing.Mode, OnDemand)
	orDefault(&a.Billing.TargetUtilization, 70)
	orDefault(&a.Queue.VisibilitySeconds, 60)
	orDefault(&a.Queue.RetentionDays, 14)
	orDefault(&a.Queue.MaxReceives, 50)
	tags := map[string]string{"Environment": "Production", "Purpose": "CachePredictionOutputs"}
	maps.Copy(tags, a.Tags)
	a.Tags = tags
	if a.Objects != nil {
		objects := *a.Objects
		orDefault(&objects.MaxAgeSeconds, 3600)
		a.Objects = &objects
	}
	if a.Alarms != nil {
		alarms := *a.Alarms
		orDefault(&alarms.MaxAgeSeconds, 300)
		a.Alarms = &alarms
	}
	return a, a.problems()
}

func orDefault[T comparable](v *T, standard T) {
	var zero T
	if *v == zero {
		*v = standard
	}
}

func (a Args) problems() error {
	var errs []error
	wrong := func(cond bool, format string, args ...any) {
		if cond {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(!slices.Contains([]Layout{Versioned, ExpirySorted, LatestOnly}, a.Layout), "layout is %q: give versioned, expiry-sorted or latest-only", a.Layout)
	wrong(a.HashKeyType != "S" && a.HashKeyType != "N", "hashKeyType is %q: give S or N", a.HashKeyType)
	wrong(a.ImportTable && a.TableName == "", "importTable: give tableName, the name of the table to import")
	wrong(len(a.TableAliases) > 0 && a.TableName == "", "tableAliases: give tableName, the table's name, or the table may be replaced")
	wrong(a.ImportTable && len(a.TableAliases) > 0, "importTable and tableAliases are both set: import a table of another stack, or give the aliases of one of this stack")
	wrong(a.Layout != LatestOnly && a.HashKey == a.SortKey, "hashKey and sortKey are both %q", a.HashKey)
	// The worker reads the keys' names from the table, and the fields of a message from its settings: names of attributes
	// that it writes itself would clash.
	for _, key := range []string{a.HashKey, a.SortKey} {
		wrong(slices.Contains([]string{"expiresAt", "createdAt", "prediction", "encoding"}, key), "the key %q is an attribute that the worker writes besides", key)
	}
	b := a.Billing
	switch b.Mode {
	case OnDemand:
		wrong(b.MinReadUnits != 0 || b.MinWriteUnits != 0, "billing.minReadUnits and minWriteUnits are for the mode provisioned")
	case Provisioned:
		wrong(b.MinReadUnits < 1 || b.MinWriteUnits < 1, "billing.mode is provisioned: give minReadUnits and minWriteUnits of 1 or more")
		wrong(b.MaxReadUnits < b.MinReadUnits || b.MaxWriteUnits < b.MinWriteUnits, "billing.mode is provisioned: give maxReadUnits and maxWriteUnits, not below the least")
		wrong(b.TargetUtilization < 20 || b.TargetUtilization > 90, "billing.targetUtilization is %v: give 20 to 90", b.TargetUtilization)
	default:
		wrong(true, "billing.mode is %q: give on-demand or provisioned", b.Mode)
	}
	wrong(b.MaxReadUnits < 0 || b.MaxWriteUnits < 0, "billing.maxReadUnits and maxWriteUnits can't be negative")
	wrong(a.Queue.VisibilitySeconds < 30 || a.Queue.VisibilitySeconds > 43200, "queue.visibilitySeconds is %d: give 30 to 43200", a.Queue.VisibilitySeconds)
	wrong(a.Queue.RetentionDays < 1 || a.Queue.RetentionDays > 14, "queue.retentionDays is %d: give 1 to 14", a.Queue.RetentionDays)
	wrong(a.Queue.MaxReceives < 10 || a.Queue.MaxReceives > 1000, "queue.maxReceives is %d: give 10 to 1000; an outage or a few restarts would move good messages away after fewer", a.Queue.MaxReceives)
	wrong(a.KeyArn != "" && !strings.HasPrefix(a.KeyArn, "arn:"), "keyArn is %q: give the key's ARN", a.KeyArn)
	wrong(a.Alarms != nil && a.Alarms.MaxAgeSeconds < 60, "alarms.maxAgeSeconds can't be under 60: CloudWatch knows the age by the minute")
	if a.Objects != nil {
		errs = append(errs, a.Objects.problems()...)
	}
	errs = append(errs, checkSettings(a.WorkerSettings)...)
	return errors.Join(errs...)
}

func (a Args) tags() pulumi.StringMap { return pulumi.ToStringMap(a.Tags) }

// tagsWith returns the tags and another one.
func (a Args) tagsWith(name, value string) pulumi.StringMap {
	tags := a.tags()
	tags[name] = pulumi.String(value)
	return tags
}
