package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/spf13/cobra"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/awsitem"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/worker"
)

func newGetCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get ID", GroupID: groupInspect, Args: takes(1), ValidArgsFunction: cobra.NoFileCompletions,
		Short: "Read an id from the table, as a service would see it",
		Long: `Read the newest live prediction of an id from WORKER_TABLE_NAME, as a service would see it. It
exits with status 1 if there is none. The read is consistent: it sees every write that was
acknowledged before. The last line says which table answered, and how many calls and read units it took.`,
		Example: `  # Read the newest prediction of an id
  worker get user-7

  # List every item of an id, with its size and cost
  worker get user-7 --all

  # Read an id that begins with a dash
  worker get -- -5`,
	}
	all := cmd.Flags().Bool("all", false, "list every item of the id, also expired ones and deletes, with size and cost")
	asJSON := cmd.Flags().Bool("json", false, "print JSON, one object per prediction")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return runGet(cmd.Context(), args[0], cmd.OutOrStdout(), *all, *asJSON)
	}
	return cmd
}

// runGet reads an id.
func runGet(ctx context.Context, id string, stdout io.Writer, all, asJSON bool) error {
	cfg, err := config.LoadForTable()
	if err != nil {
		return problems{"the settings are not valid", err}
	}
	clients, err := awsclient.New(ctx, awsclient.Config{QueueURL: cfg.QueueURL, Connections: 1, Clock: &awsclient.Clock{}})
	if err != nil {
		return problems{"the table can't be read", err}
	}
	ctx, cancel := context.WithTimeout(ctx, 6*cfg.CallTimeout)
	defer cancel()
	cfg.Deletes = config.DeletesOff // only writers of deletes need WORKER_ORDERING=newest
	found, err := worker.FindTable(ctx, cfg, clients)
	if err != nil {
		return problems{"the table can't be read", err}
	}
	g := &getter{cfg: cfg, clients: clients, layout: found.Layout, out: stdout, json: asJSON}
	if all {
		return g.all(ctx, id)
	}
	return g.newest(ctx, id)
}

// A getter reads one id.
type getter struct {
	cfg     *config.Config
	clients *awsclient.Clients
	layout  *item.Layout
	out     io.Writer
	json    bool
}

// shown is a prediction in JSON.
type shown struct {
	PredictionID string                     `json:"predictionId"`
	EventTime    time.Time                  `json:"eventTime"`
	ExpiresAt    time.Time                  `json:"expiresAt"`
	Prediction   json.RawMessage            `json:"prediction,omitempty"`
	Attributes   map[string]json.RawMessage `json:"attributes,omitempty"`
	Read         *readCost                  `json:"read,omitempty"`
	*stored
}

// readCost is the table, the calls and the read units of an answer.
type readCost struct {
	Table  string  `json:"table"`
	Layout string  `json:"layout"`
	Calls  int64   `json:"calls"`
	Units  float64 `json:"readUnits"`
	Millis int64   `json:"milliseconds"`
}

// stored is what --all prints of an item in addition to its content.
type stored struct {
	SortKey  json.Number `json:"sortKey,omitempty"`
	Expired  bool        `json:"expired"`
	Deleted  bool        `json:"deleted,omitempty"` // it is a tombstone
	Bytes    int         `json:"bytes"`
	Units    int         `json:"writeUnits"`
	Encoding string      `json:"encoding,omitempty"`
	Problem  string      `json:"problem,omitempty"` // where it can't be read
}

func (g *getter) newest(ctx context.Context, id string) error {
	l := g.layout
	c, err := cache.NewFromClient(g.clients.DynamoDB, g.cfg.TableName, cache.Consistent(),
		cache.WithLayout(cache.Layout{HashKey: l.HashKey, Numeric: l.HashType == item.TypeN, SortKey: l.SortKey, TTLAttribute: l.TTLAttribute}))
	if err != nil {
		return err
	}
	start := time.Now()
	p, err := c.Get(ctx, id)
	took := time.Since(start)
	switch {
	case errors.Is(err, cache.ErrNotFound):
		return fmt.Errorf("%w; worker get --all lists what has expired or is deleted too", err)
	case err != nil:
		return err
	}
	s := shown{PredictionID: p.ID, EventTime: p.EventTime, ExpiresAt: p.ExpiresAt, Prediction: p.Payload, Attributes: p.Attributes}
	read := c.Stats()
	if g.json {
		s.Read = &readCost{Table: g.cfg.TableName, Layout: string(l.Kind), Calls: read.Calls, Units: read.ReadUnits, Millis: took.Milliseconds()}
		return g.print(s)
	}
	g.line("prediction", "%s", s.Prediction)
	g.line("event time", "%s (%s ago)", s.EventTime.Format(time.RFC3339Nano), lasting(g.now().Sub(s.EventTime)))
	g.line("expires", "%s (in %s)", s.ExpiresAt.Format(time.RFC3339), lasting(s.ExpiresAt.Sub(g.now())))
	for _, name := range slices.Sorted(maps.Keys(s.Attributes)) {
		g.line(name, "%s", s.Attributes[name])
	}
	g.line("read", "table %s (%s), consistently: %s, %s, %v", g.cfg.TableName, l.Kind, counted(int(read.Calls), "call"), readUnits(read.ReadUnits), took.Round(100*time.Microsecond))
	return nil
}

// now is the services' clock, by which ages are shown.
func (g *getter) now() time.Time { return g.clients.Clock.Now() }

func (g *getter) line(name, format string, args ...any) {
	fmt.Fprintf(g.out, "%-12s %s\n", name, fmt.Sprintf(format, args...))
}

func (g *getter) print(s shown) error {
	if err := json.NewEncoder(g.out).Encode(s); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// all lists the items of an id, newest sort key first.
func (g *getter) all(ctx context.Context, id string) error {
	key, err := g.layout.ReadKey(id)
	if err != nil {
		return fmt.Errorf("the id %q: %w", id, err)
	}
	var hash types.AttributeValue = &types.AttributeValueMemberS{Value: key}
	if g.layout.HashType == item.TypeN {
		hash = &types.AttributeValueMemberN{Value: key}
	}
	pages := dynamodb.NewQueryPaginator(g.clients.DynamoDB, &dynamodb.QueryInput{
		TableName: &g.cfg.TableName, ConsistentRead: aws.Bool(true), ScanIndexForward: aws.Bool(false),
		KeyConditionExpression: aws.String("#h = :h"), ExpressionAttributeNames: map[string]string{"#h": g.layout.HashKey},
		ExpressionAttributeValues: map[string]types.AttributeValue{":h": hash},
	})
	items, bytes, units := 0, 0, 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("reading %q: %w", id, err)
		}
		for _, attributes := range page.Items {
			s := g.show(attributes)
			if items == 0 && !g.json {
				fmt.Fprintf(g.out, "%-35s %-10s %-28s %9s %5s  %-8s %s\n", "EVENT TIME", "AGE", "EXPIRES", "BYTES", "UNITS", "ENCODING", "PREDICTION")
			}
			items, bytes, units = items+1, bytes+s.Bytes, units+s.Units
			if err := g.row(s); err != nil {
				return err
			}
		}
	}
	if items == 0 {
		return fmt.Errorf("the table has no item of %q", id)
	}
	if !g.json {
		fmt.Fprintf(g.out, "%d items, %d bytes, %d write units\n", items, bytes, units)
	}
	return nil
}

func (g *getter) show(attributes map[string]types.AttributeValue) shown {
	fields := awsitem.Fields(attributes)
	s := shown{stored: &stored{Bytes: item.StoredSize(fields)}}
	s.Units = item.Units(s.Bytes)
	if key, err := g.layout.DecodeKey(fields); err == nil {
		s.PredictionID = key.ID
		if g.layout.SortKey != "" {
			s.SortKey = json.Number(key.AppendSort(nil))
		}
	}
	it, err := g.layout.Decode(fields, true)
	if err != nil {
		s.Problem = err.Error()
		return s
	}
	s.EventTime, s.ExpiresAt, s.Prediction, s.Encoding = it.CreatedAt.Clock(), time.Unix(it.Expires, 0).UTC(), it.Payload, string(it.Encoding)
	s.Expired, s.Deleted = it.Expires <= g.now().Unix(), it.Deleted
	if it.Deleted {
		s.Encoding = ""
	}
	for _, f := range g.layout.Others(fields) {
		text, err := f.Value.AppendJSON(nil)
		if err != nil {
			s.Problem = fmt.Sprintf("the attribute %q %v", f.Name, err)
			continue
		}
		if s.Attributes == nil {
			s.Attributes = map[string]json.RawMessage{}
		}
		s.Attributes[f.Name] = text
	}
	return s
}

func (g *getter) row(s shown) error {
	if g.json {
		return g.print(s)
	}
	if s.Problem != "" {
		fmt.Fprintf(g.out, "can't be read: %s (%d bytes)\n", s.Problem, s.Bytes)
		return nil
	}
	expires := "in " + lasting(s.ExpiresAt.Sub(g.now()))
	if s.Expired {
		expires = "expired " + lasting(g.now().Sub(s.ExpiresAt)) + " ago"
	}
	payload := brief(string(s.Prediction), 60)
	if s.Deleted {
		payload = "deleted: it hides what is not newer"
	}
	fmt.Fprintf(g.out, "%-35s %-10s %-28s %9d %5d  %-8s %s\n", s.EventTime.Format(time.RFC3339Nano), lasting(g.now().Sub(s.EventTime)), expires, s.Bytes, s.Units, s.Encoding, payload)
	return nil
}

// readUnits formats read units, which come in halves.
func readUnits(n float64) string {
	if n == 1 {
		return "1 read unit"
	}
	return fmt.Sprintf("%g read units", n)
}
