package cacheotel_test

import (
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/predcache/predcache/cache"
	"github.com/predcache/predcache/cache/cacheotel"
)

type stats cache.Stats

func (s stats) Stats() cache.Stats { return cache.Stats(s) }

func TestRegister(t *testing.T) {
	reader := sdk.NewManualReader()
	meter := sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("test")
	registration, err := cacheotel.Register(stats{FrontHits: 3, StaleHits: 2, Misses: 5, ExpiredOnly: 1, ReadUnits: 1.5, FrontBytes: 7}, meter, attribute.String("table", "t"))
	if err != nil {
		t.Fatal(err)
	}
	collect := func() map[string]float64 {
		t.Helper()
		var all metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		put := func(name string, set attribute.Set, value float64) {
			if v, _ := set.Value("table"); v.AsString() != "t" {
				t.Errorf("%s has the attributes %v", name, set)
			}
			for _, label := range []attribute.Key{"from", "result"} {
				if v, found := set.Value(label); found {
					name += "/" + v.AsString()
				}
			}
			got[name] = value
		}
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				switch data := m.Data.(type) {
				case metricdata.Sum[int64]:
					for _, p := range data.DataPoints {
						put(m.Name, p.Attributes, float64(p.Value))
					}
				case metricdata.Sum[float64]:
					for _, p := range data.DataPoints {
						put(m.Name, p.Attributes, p.Value)
					}
				case metricdata.Gauge[int64]:
					for _, p := range data.DataPoints {
						put(m.Name, p.Attributes, float64(p.Value))
					}
				}
			}
		}
		return got
	}
	got := collect()
	for name, want := range map[string]float64{
		"predcache.reader.answers/front": 3, "predcache.reader.answers/stale": 2, "predcache.reader.reads/miss": 4, "predcache.reader.reads/expired": 1,
		"predcache.reader.read_units": 1.5, "predcache.reader.front.bytes": 7, "predcache.reader.table_available": 0, "predcache.reader.front_age.count": 3,
	} {
		if v, found := got[name]; !found || v != want {
			t.Errorf("%s is %v, %v, want %v", name, v, found, want)
		}
	}
	if len(got) != 14+14 {
		t.Errorf("%d series: %v", len(got), got)
	}
	if err := registration.Unregister(); err != nil {
		t.Fatal(err)
	}
	if got := collect(); len(got) != 0 {
		t.Errorf("observed after it was unregistered: %v", got)
	}
}
