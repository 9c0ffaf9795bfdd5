package erase_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/predcache/predcache/internal/awsclient"
	"github.com/predcache/predcache/internal/awstest"
	"github.com/predcache/predcache/internal/awstest/attribute"
	"github.com/predcache/predcache/internal/config"
	"github.com/predcache/predcache/internal/erase"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/workertest"
)

func TestMain(m *testing.M) { workertest.Main(m) }

var layouts = []item.Kind{item.Versioned, item.ExpirySorted, item.LatestOnly}

// A world is a table in a bubble, with the notices of the runs.
type world struct {
	*workertest.Fakes
	notices []string
}

func withWorld(t *testing.T, layout item.Kind, test func(w *world)) {
	t.Helper()
	workertest.WithFakes(t, layout, func(f *workertest.Fakes) { test(&world{Fakes: f}) })
}

func (w *world) run(o erase.Options) *erase.Run {
	w.T.Helper()
	clients, err := awsclient.New(context.Background(), awsclient.Config{Transport: w.Transport(), Clock: &awsclient.Clock{}})
	if err != nil {
		w.T.Fatal(err)
	}
	o.Config, o.Clients = w.Config, clients
	o.Notify = func(format string, args ...any) { w.notices = append(w.notices, fmt.Sprintf(format, args...)) }
	r, err := erase.New(context.Background(), o)
	if err != nil {
		w.T.Fatal(err)
	}
	return r
}

// erase erases ids and returns the report.
func (w *world) erase(ids ...string) erase.Report {
	w.T.Helper()
	r := w.run(erase.Options{IDs: ids})
	if err := r.Run(context.Background()); err != nil {
		w.T.Fatal(err)
	}
	return r.Report()
}

// fill has a worker write n versions of each id, an item each unless the layout keeps one.
func (w *world) fill(n int, ids ...string) {
	w.T.Helper()
	worker := w.Start()
	for _, id := range ids {
		for i := range n {
			w.Send(workertest.Message(id, time.Duration(n-i)*time.Second, fmt.Sprintf(`"secret of %s"`, id)))
		}
	}
	time.Sleep(5 * time.Minute)
	worker.Stop()
}

// left returns the items of an id: the texts of their payloads, and "tombstone" for a tombstone.
func (w *world) left(id string) (left []string) {
	for _, it := range w.DynamoDB.Items(workertest.TableName) {
		switch {
		case it.Text("predictionId") != id:
		case it[item.AttrDeleted].Type() == "BOOL":
			left = append(left, "tombstone")
		default:
			left = append(left, it.Text(item.AttrPayload))
		}
	}
	return left
}

func (w *world) put(attributes map[string]types.AttributeValue) {
	w.T.Helper()
	name := workertest.TableName
	if _, err := w.DynamoDB.Client().PutItem(context.Background(), &dynamodb.PutItemInput{TableName: &name, Item: attributes}); err != nil {
		w.T.Fatal(err)
	}
}

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num(n any) types.AttributeValue    { return &types.AttributeValueMemberN{Value: fmt.Sprint(n)} }

func TestErase(t *testing.T) {
	for _, layout := range layouts {
		t.Run(string(layout), func(t *testing.T) {
			withWorld(t, layout, func(w *world) {
				w.fill(230, "gone")
				w.fill(3, "stays")
				stays := w.left("stays")
				report := w.erase("gone", "gone", "never there")
				items := int64(230)
				if layout == item.LatestOnly {
					items = 1
				}
				if report.IDs != 2 || report.Erased != 2 || report.Left != 0 || report.Items != items || report.Units < 2 || report.ReadUnits < 4 {
					t.Errorf("the report is %+v", report)
				}
				for _, id := range []string{"gone", "never there"} {
					if got := w.left(id); !slices.Equal(got, []string{"tombstone"}) {
						t.Errorf("of %q there is %v", id, got)
					}
				}
				if got := w.left("stays"); !slices.Equal(got, stays) {
					t.Errorf("of another id there is %v, want %v", got, stays)
				}
				if overlaps := w.DynamoDB.OverlappingWrites(); len(overlaps) > 0 {
					t.Errorf("writes of a key overlap: %v", overlaps)
				}
			})
		})
	}
}

// What arrives late is hidden, and a prediction of a later time is not.
func TestErase_tombstone(t *testing.T) {
	withWorld(t, item.Versioned, func(w *world) {
		w.fill(3, "a")
		before := time.Now()
		w.erase("a")
		tombstone := w.DynamoDB.Items(workertest.TableName)[0]
		wantTime(t, tombstone, item.AttrCreatedAt, before, time.Minute)
		wantTime(t, tombstone, "expiresAt", before.Add(14*24*time.Hour), time.Minute)

		w.put(map[string]types.AttributeValue{"predictionId": str("b"), "timestamp": num(time.Now().Unix() + 200), "createdAt": num(time.Now().Unix() + 200), "expiresAt": num(time.Now().Unix() + 9000)})
		w.erase("b")
		if got := w.left("b"); !slices.Equal(got, []string{"tombstone"}) {
			t.Errorf("an item with an event time in the future leaves %v", got)
		}
	})
}

func wantTime(t *testing.T, it attribute.Item, name string, want time.Time, most time.Duration) {
	t.Helper()
	var at float64
	if _, err := fmt.Sscan(it.Text(name), &at); err != nil || at < float64(want.Unix()-1) || at > float64(want.Add(most).Unix()) {
		t.Errorf("%s is %s, want %d to %v later", name, it.Text(name), want.Unix(), most)
	}
}

// An item that the worker can't have written is removed too, as far as its key can be named.
func TestErase_foreignItems(t *testing.T) {
	for _, layout := range []item.Kind{item.Versioned, item.ExpirySorted} {
		t.Run(string(layout), func(t *testing.T) {
			withWorld(t, layout, func(w *world) {
				for _, sort := range []string{"5", "1700000000.5", "9000000000000"} {
					w.put(map[string]types.AttributeValue{"predictionId": str("a"), "timestamp": num(sort), "note": str("secret")})
				}
				w.put(map[string]types.AttributeValue{"predictionId": str("a"), "timestamp": num(7), "createdAt": str("long ago")})
				for _, sort := range []string{"8", "1700000000"} {
					w.put(map[string]types.AttributeValue{"predictionId": str("a"), "timestamp": num(sort), "createdAt": num(1700000000)})
				}
				if report := w.erase("a"); report.Left != 0 || report.Items != 6 {
					t.Errorf("the report is %+v", report)
				}
				if got := w.left("a"); !slices.Equal(got, []string{"tombstone"}) {
					t.Errorf("left is %q", got)
				}
				w.put(map[string]types.AttributeValue{"predictionId": str("b"), "timestamp": num("-5.5")})
				if report := w.erase("a", "b"); report.Left != 1 || !slices.Equal(report.LeftIDs, []string{"b"}) {
					t.Errorf("the report is %+v", report)
				}
			})
		})
	}
}

// What the fleet writes meanwhile is removed if it is older, and stays if it is newer.
func TestErase_whileTheFleetRuns(t *testing.T) {
	for _, layout := range layouts {
		t.Run(string(layout), func(t *testing.T) {
			t.Setenv("WORKER_ORDERING", config.OrderingNewest)
			withWorld(t, layout, func(w *world) {
				w.fill(20, "a")
				w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
					if c.Operation == "Query" {
						return awstest.Fault{AnswerDelay: time.Second}
					}
					return awstest.Fault{}
				})
				worker := w.Start()
				old := workertest.Message("a", time.Minute, `"late"`)
				fresh := workertest.Message("a", -time.Minute, `"fresh"`)
				time.AfterFunc(1500*time.Millisecond, func() { w.Send(old) })
				time.AfterFunc(1600*time.Millisecond, func() { w.Send(fresh) })
				report := w.erase("a")
				time.Sleep(time.Minute)
				worker.Stop()
				w.WantDeleted(22)
				got := w.left("a")
				if i := slices.Index(got, `"fresh"`); i < 0 || slices.Contains(got, `"secret of a"`) {
					t.Errorf("left is %q; the report is %+v", got, report)
				}
			})
		})
	}
}

func TestErase_dryRun(t *testing.T) {
	for _, layout := range layouts {
		t.Run(string(layout), func(t *testing.T) {
			withWorld(t, layout, func(w *world) {
				w.fill(50, "a", "b")
				before := w.DynamoDB.Writes()
				file := filepath.Join(t.TempDir(), "state")
				r := w.run(erase.Options{IDs: []string{"a", "b", "c"}, DryRun: true, State: file})
				if err := r.Run(context.Background()); err != nil {
					t.Fatal(err)
				}
				if after := w.DynamoDB.Writes(); len(after) != len(before) {
					t.Fatal("a dry run writes")
				}
				planned := r.Report()
				spent := w.erase("a", "b", "c")
				if planned.Items != spent.Items || planned.Bytes != spent.Bytes || planned.Units != spent.Units || planned.ReadUnits != spent.ReadUnits {
					t.Errorf("the dry run says %+v, and the run %+v", planned, spent)
				}
			})
		})
	}
}

// An interrupted run continues after the ids that are done, and removes nothing that was published to them since.
func TestErase_resume(t *testing.T) {
	withWorld(t, item.Versioned, func(w *world) {
		var ids []string
		for i := range 40 {
			ids = append(ids, fmt.Sprint("id-", i))
		}
		w.fill(2, ids...)
		o := erase.Options{IDs: ids, State: filepath.Join(t.TempDir(), "state")}
		r := w.run(o)
		ctx, interrupt := context.WithCancel(context.Background())
		w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
			if c.Operation == "Query" && c.N == 60 {
				interrupt()
			}
			return awstest.Fault{AnswerDelay: time.Millisecond}
		})
		if err := r.Run(ctx); !errors.Is(err, erase.ErrInterrupted) {
			t.Fatalf("the run ended with %v", err)
		}
		if p := r.Progress(); p.Erased == 0 || p.Erased == len(ids) {
			t.Fatalf("%d ids were erased: the scenario proves nothing", p.Erased)
		}
		time.Sleep(time.Minute)
		w.fill(1, ids[0])
		again := w.run(o)
		if again.Resumed() == 0 {
			t.Error("it starts from the beginning")
		}
		if err := again.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if report := again.Report(); report.Left != 0 || report.Newer != 1 {
			t.Errorf("the report is %+v", report)
		}
		for _, id := range ids[1:] {
			if got := w.left(id); !slices.Equal(got, []string{"tombstone"}) {
				t.Errorf("of %q there is %v", id, got)
			}
		}
		if got := w.left(ids[0]); len(got) != 2 {
			t.Errorf("of the id that has a new prediction there is %v", got)
		}
		if files, _ := filepath.Glob(o.State + "*"); len(files) > 0 {
			t.Errorf("the state is still there: %v", files)
		}
	})
}

func TestErase_stateOfOtherIDs(t *testing.T) {
	withWorld(t, item.Versioned, func(w *world) {
		file := filepath.Join(t.TempDir(), "state")
		r := w.run(erase.Options{IDs: []string{"a", "b"}, State: file})
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := r.Run(ctx); !errors.Is(err, erase.ErrInterrupted) {
			t.Fatal(err)
		}
		clients, err := awsclient.New(context.Background(), awsclient.Config{Transport: w.Transport(), Clock: &awsclient.Clock{}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := erase.New(context.Background(), erase.Options{Config: w.Config, Clients: clients, IDs: []string{"a", "c"}, State: file}); err == nil || !strings.Contains(err.Error(), "other ids") {
			t.Errorf("got %v", err)
		}
	})
}

// A missing permission ends the run, since nobody would grant it meanwhile; an outage does not.
func TestErase_denied(t *testing.T) {
	for _, operation := range []string{"Query", "DeleteItem"} {
		t.Run(operation, func(t *testing.T) {
			t.Setenv("WORKER_ORDERING", config.OrderingNewest)
			withWorld(t, item.Versioned, func(w *world) {
				w.fill(5, "a")
				w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
					if c.Operation == operation {
						return awstest.Fault{Err: awstest.AccessDenied(operation)}
					}
					return awstest.Fault{}
				})
				if err := w.run(erase.Options{IDs: []string{"a"}}).Run(context.Background()); err == nil || !strings.Contains(err.Error(), operation) {
					t.Errorf("the run ended with %v", err)
				}
			})
		})
	}
}

func TestErase_outage(t *testing.T) {
	withWorld(t, item.Versioned, func(w *world) {
		w.fill(120, "a")
		start := time.Now()
		w.DynamoDB.SetFault(func(c *awstest.Call) awstest.Fault {
			switch elapsed := time.Since(start); {
			case strings.HasPrefix(c.Operation, "Describe"):
			case elapsed < time.Minute && c.N%3 > 0:
				return awstest.Fault{Err: awstest.ServiceUnavailable()}
			case elapsed < time.Minute:
				return awstest.Fault{Hang: true}
			}
			return awstest.Fault{}
		})
		if report := w.erase("a"); report.Left != 0 {
			t.Errorf("the report is %+v", report)
		}
		if got := w.left("a"); !slices.Equal(got, []string{"tombstone"}) {
			t.Errorf("left is %v", got)
		}
		if len(w.notices) == 0 {
			t.Error("no notice says why it waits")
		}
	})
}

// A cap on write units holds for tombstones and removals together.
func TestErase_maxWriteUnits(t *testing.T) {
	withWorld(t, item.Versioned, func(w *world) {
		w.fill(600, "a")
		w.Config.MaxWriteUnits = 50
		start := time.Now()
		report := w.erase("a")
		if took := time.Since(start).Seconds(); float64(report.Units)/took > 60 {
			t.Errorf("%d write units in %v s", report.Units, took)
		}
	})
}

func TestErase_warning(t *testing.T) {
	for _, layout := range layouts {
		for _, ordering := range []string{config.OrderingLastWrite, config.OrderingNewest} {
			t.Run(fmt.Sprint(layout, "/", ordering), func(t *testing.T) {
				t.Setenv("WORKER_ORDERING", ordering)
				withWorld(t, layout, func(w *world) {
					want := 0
					if layout != item.Versioned && ordering == config.OrderingLastWrite {
						want = 1
					}
					if got := w.run(erase.Options{IDs: []string{"a"}}).Warnings(); len(got) != want {
						t.Errorf("warnings: %q", got)
					}
				})
			})
		}
	}
}
