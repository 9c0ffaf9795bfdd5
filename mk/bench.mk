# Measurements. Their method and results: docs/performance.md.

BENCH ?= .
BENCHCOUNT ?= 6
.PHONY: bench
bench: ## Run the micro benchmarks, for benchstat (BENCH=Decode, BENCHCOUNT=6)
	go test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime 0.3s -count $(BENCHCOUNT) \
		./internal/jsonscan ./internal/prediction ./internal/item ./internal/batch ./internal/dedup ./internal/awsclient ./internal/records

E2E ?=
.PHONY: bench-e2e
bench-e2e: ## Compare the worker with a plain consumer loop (E2E="-only distinct -rounds 3"; -h lists the flags)
	$(BUILD) -o bin/ ./cmd/worker ./bench/afternoon ./bench/e2e
	bin/e2e $(E2E)

.PHONY: soak
SOAK ?= -soak 30m -rate 5000
soak: ## Run the worker under load for half an hour and print its resources every minute (SOAK="-soak 5m -rate 1000")
	$(BUILD) -o bin/ ./cmd/worker ./bench/e2e
	bin/e2e $(SOAK)

.PHONY: bench-requests
bench-requests: ## Measure SQS requests, written items and ages at four rates, with and without WORKER_MAX_ADDED_LATENCY
	$(BUILD) -o bin/ ./cmd/worker ./bench/e2e
	@for rate in 1 20 200 2000; do for latency in 0s 250ms 500ms; do \
		echo "$$rate messages a second, WORKER_MAX_ADDED_LATENCY=$$latency"; \
		bin/e2e -programs worker -rounds 1 -seconds 20 -only distinct,zipf -rate $$rate -added-latency $$latency; \
	done; done

.PHONY: bench-read
bench-read: ## Compare reads by package cache with the plain SDK, and measure the front (hits, memory, hit rate, hedging)
	go test -run '^$$' -bench '^BenchmarkRead$$' -benchtime 20x ./cache
	go test -run '^$$' -bench '^BenchmarkFrontHit$$' -benchtime 2s -count 3 ./cache
	go test -count 1 -v -run '^(TestFrontMemory|TestFrontHitRate|TestHedging|TestEarlyCompute)$$' ./cache | grep -v '^=== '

.PHONY: bench-warm
WARM ?= -warm 1000000 -rounds 3
bench-warm: ## Measure `worker warm` on files of a million rows in each format (WARM="-warm 200000 -formats csv -rounds 1")
	$(BUILD) -o bin/ ./cmd/worker ./bench/e2e
	bin/e2e $(WARM)
