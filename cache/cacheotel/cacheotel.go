// Package cacheotel exports what a cache.Cache has done as OpenTelemetry metrics.
//
//	registration, err := cacheotel.Register(predictions, otel.Meter("predictions"), attribute.String("table", "predictions"))
//	defer registration.Unregister()
//
// The instruments are those of package cacheprom, with dots for underscores. OpenTelemetry has no observable histogram, so
// ages are counters of their sum and number.
package cacheotel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/predcache/predcache/cache"
)

// A Source is a *cache.Cache.
type Source interface{ Stats() cache.Stats }

// Register has a meter observe a Cache, each time that its reader collects, until the registration is unregistered.
func Register(source Source, meter metric.Meter, attributes ...attribute.KeyValue) (metric.Registration, error) {
	r := &register{meter: meter, all: metric.WithAttributes(attributes...)}
	r.labeled("answers", "Answers that the front or the process gave without a call of their own, by where they came from.", "from", map[string]func(*cache.Stats) int64{
		"front":       func(s *cache.Stats) int64 { return s.FrontHits },
		"negative":    func(s *cache.Stats) int64 { return s.NegativeHits },
		"computed":    func(s *cache.Stats) int64 { return s.ComputedHits },
		"stale":       func(s *cache.Stats) int64 { return s.StaleHits },
		"shared":      func(s *cache.Stats) int64 { return s.Shared },
		"unavailable": func(s *cache.Stats) int64 { return s.Unavailable },
	})
	r.labeled("reads", "Reads of the table, one for each id, by result.", "result", map[string]func(*cache.Stats) int64{
		"hit":        func(s *cache.Stats) int64 { return s.TableHits },
		"miss":       func(s *cache.Stats) int64 { return s.Misses - s.ExpiredOnly - s.Deleted },
		"expired":    func(s *cache.Stats) int64 { return s.ExpiredOnly },
		"deleted":    func(s *cache.Stats) int64 { return s.Deleted },
		"item_error": func(s *cache.Stats) int64 { return s.ItemErrors },
		"error":      func(s *cache.Stats) int64 { return s.Errors },
	})
	r.labeled("computations", "Computations of GetOrCompute, by result.", "result", map[string]func(*cache.Stats) int64{
		"miss":  func(s *cache.Stats) int64 { return s.Computed - s.EarlyComputed },
		"early": func(s *cache.Stats) int64 { return s.EarlyComputed },
		"error": func(s *cache.Stats) int64 { return s.ComputeErrors },
	})
	r.counter("calls", "Calls of DynamoDB, hedges included.", func(s *cache.Stats) int64 { return s.Calls })
	r.counter("hedges", "Calls that were made a second time because the first took long.", func(s *cache.Stats) int64 { return s.Hedges })
	r.counter("hedge_wins", "Hedged calls whose second answer came first.", func(s *cache.Stats) int64 { return s.HedgeWins })
	r.counter("refreshes", "Reads in the background that renewed an entry in use.", func(s *cache.Stats) int64 { return s.Refreshes })
	r.counter("probes", "Reads that asked whether the table answers again.", func(s *cache.Stats) int64 { return s.Probes })
	r.counter("front_age.count", "Answers of the front whose ages front_age.sum adds up.", func(s *cache.Stats) int64 { return s.FrontHits })
	r.counter("event_age.count", "Predictions read from the table whose ages event_age.sum adds up.", func(s *cache.Stats) int64 { return s.TableHits })
	r.amount("front_age.sum", "s", "Ages of the front's answers, since their reads were sent.", func(s *cache.Stats) float64 { return s.FrontAges.Sum.Seconds() })
	r.amount("event_age.sum", "s", "Ages of predictions as they were read from the table, since their event times.", func(s *cache.Stats) float64 { return s.EventAges.Sum.Seconds() })
	r.amount("read_units", "{unit}", "Read units that the calls cost.", func(s *cache.Stats) float64 { return s.ReadUnits })
	r.gauge("front.entries", "{entry}", "Entries that the front holds, remembered misses included.", func(s *cache.Stats) int64 { return int64(s.FrontEntries) })
	r.gauge("front.bytes", "By", "Memory that the front's entries take.", func(s *cache.Stats) int64 { return s.FrontBytes })
	r.gauge("table_available", "1", "1 while the table answers, 0 while the front answers alone.", func(s *cache.Stats) int64 {
		if s.Available {
			return 1
		}
		return 0
	})
	if err := errors.Join(r.errs...); err != nil {
		return nil, err
	}
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := source.Stats()
		for _, observe := range r.observe {
			observe(o, &s)
		}
		return nil
	}, r.instruments...)
}

// register gathers the instruments and what observes them.
type register struct {
	meter       metric.Meter
	all         metric.MeasurementOption
	instruments []metric.Observable
	observe     []func(metric.Observer, *cache.Stats)
	errs        []error
}

const prefix = "predcache.reader."

func (r *register) add(i metric.Observable, err error, observe func(metric.Observer, *cache.Stats)) {
	r.instruments, r.errs, r.observe = append(r.instruments, i), append(r.errs, err), append(r.observe, observe)
}

func (r *register) labeled(name, description, label string, values map[string]func(*cache.Stats) int64) {
	i, err := r.meter.Int64ObservableCounter(prefix+name, metric.WithDescription(description))
	options := map[string]metric.MeasurementOption{}
	for value := range values {
		options[value] = metric.WithAttributes(attribute.String(label, value))
	}
	r.add(i, err, func(o metric.Observer, s *cache.Stats) {
		for value, of := range values {
			o.ObserveInt64(i, of(s), r.all, options[value])
		}
	})
}

func (r *register) counter(name, description string, value func(*cache.Stats) int64) {
	i, err := r.meter.Int64ObservableCounter(prefix+name, metric.WithDescription(description))
	r.add(i, err, func(o metric.Observer, s *cache.Stats) { o.ObserveInt64(i, value(s), r.all) })
}

func (r *register) amount(name, unit, description string, value func(*cache.Stats) float64) {
	i, err := r.meter.Float64ObservableCounter(prefix+name, metric.WithDescription(description), metric.WithUnit(unit))
	r.add(i, err, func(o metric.Observer, s *cache.Stats) { o.ObserveFloat64(i, value(s), r.all) })
}

func (r *register) gauge(name, unit, description string, value func(*cache.Stats) int64) {
	i, err := r.meter.Int64ObservableGauge(prefix+name, metric.WithDescription(description), metric.WithUnit(unit))
	r.add(i, err, func(o metric.Observer, s *cache.Stats) { o.ObserveInt64(i, value(s), r.all) })
}
