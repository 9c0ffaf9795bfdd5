package sim

import (
	"github.com/predcache/predcache/internal/dedup"
	"github.com/predcache/predcache/internal/item"
	"github.com/predcache/predcache/internal/prediction"
	"github.com/predcache/predcache/internal/worker"
)

// admitBugs act between decoding and the window.
var admitBugs = []bug{
	{name: "a message is deleted before its predictions are written", services: onAdmit(
		func(next worker.Admit, it *item.Item, to dedup.Waiter) bool {
			to.Resolve(prediction.Written, "", nil)
			return next(it, nobody)
		})},
	{name: "a duplicate is recognized before the first was written", services: func(s seams) {
		var seen memory[uint64, bool]
		onAdmit(func(next worker.Admit, it *item.Item, to dedup.Waiter) bool {
			if _, found := seen.swap(it.Version.Hash, true); found {
				to.Resolve(prediction.Duplicate, "", nil)
				return false
			}
			return next(it, to)
		})(s)
	}},
	{name: "a superseded version is settled before the newer one is written", services: func(s seams) {
		var seen memory[item.Key, prediction.Version]
		onAdmit(func(next worker.Admit, it *item.Item, to dedup.Waiter) bool {
			if newest, found := seen.swap(it.Key, it.Version); found && newest.Compare(it.Version) > 0 {
				seen.swap(it.Key, newest)
				to.Resolve(prediction.Superseded, "", nil)
				return false
			}
			return next(it, to)
		})(s)
	}},
	{name: "a duplicate never settles its message", services: onAdmit(
		func(next worker.Admit, it *item.Item, to dedup.Waiter) bool {
			return next(it, waiterFunc(func(o prediction.Outcome, raw string, why *prediction.Reject) {
				if o != prediction.Duplicate {
					to.Resolve(o, raw, why)
				}
			}))
		})},
	{name: "versions are ordered by arrival", services: onAdmit(
		func(next worker.Admit, it *item.Item, to dedup.Waiter) bool {
			it.Version.Event = prediction.Time{}
			return next(it, to)
		})},
	{name: "predictions are logged", services: func(s seams) {
		onAdmit(func(next worker.Admit, it *item.Item, to dedup.Waiter) bool {
			s.log.Info("admitted", "prediction", it.Raw)
			return next(it, to)
		})(s)
	}},
}
