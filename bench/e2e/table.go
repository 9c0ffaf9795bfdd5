package main

import (
	"fmt"
	"io"
	"slices"
)

type row struct {
	workload, program string
	result
}

// median returns the median of each field, independently of the others.
func median(runs []result) result {
	of := func(get func(*result) float64) float64 {
		values := make([]float64, len(runs))
		for i := range runs {
			values[i] = get(&runs[i])
		}
		slices.Sort(values)
		return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
	}
	return result{
		cpu:        of(func(r *result) float64 { return r.cpu }),
		throughput: of(func(r *result) float64 { return r.throughput }),
		resident:   of(func(r *result) float64 { return r.resident }),
		requests:   of(func(r *result) float64 { return r.requests }),
		units:      of(func(r *result) float64 { return r.units }),
		dollars:    of(func(r *result) float64 { return r.dollars }),
		items:      of(func(r *result) float64 { return r.items }),
		p50:        of(func(r *result) float64 { return r.p50 }),
		p99:        of(func(r *result) float64 { return r.p99 }),
		lost:       of(func(r *result) float64 { return r.lost }),
		stale:      of(func(r *result) float64 { return r.stale }),
	}
}

// printTable prints the rows. A worker's row has the ratios to the loop's row of the same workload, which precedes it.
func printTable(out io.Writer, rows []row) {
	fmt.Fprintln(out, "| workload | program | CPU us | of loop | predictions/s | of loop | MiB | SQS req/msg | items/write | units | $/million | of loop | p50 ms | p99 ms | lost | stale |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	base := map[string]result{}
	for _, r := range rows {
		if r.program == "loop" {
			base[r.workload] = r.result
		}
		ratio := func(value, base float64) string {
			if r.program == "loop" || base == 0 {
				return ""
			}
			return fmt.Sprintf("%.2f", value/base)
		}
		loop, found := base[r.workload]
		if !found {
			loop = base["distinct"]
		}
		fmt.Fprintf(out, "| %s | %s | %.1f | %s | %.0f | %s | %.0f | %.3f | %.1f | %.2f | %.3f | %s | %.1f | %.1f | %.0f | %.0f |\n",
			r.workload, r.program, r.cpu, ratio(r.cpu, loop.cpu), r.throughput, ratio(r.throughput, loop.throughput), r.resident,
			r.requests, r.items, r.units, r.dollars, ratio(r.dollars, loop.dollars), r.p50, r.p99, r.lost, r.stale)
	}
}
