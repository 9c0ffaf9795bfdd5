# Tests of the guarantees: docs/guarantees.md.

SEEDS ?= 2000
FROM ?= 1
SEED ?= 0
RERUNS ?= 20

.PHONY: sim
sim: ## Simulate outages, faults and restarts (SEEDS=2000 FROM=1, or SEED=… to repeat one)
	@mkdir -p .cache/bin
	@go test -c -o .cache/bin/sim.test ./internal/worker/sim
	@cd internal/worker/sim && ../../../.cache/bin/sim.test -test.run '^TestSimulation$$' -test.v -test.timeout 0 -sim.seeds $(SEEDS) -sim.from $(FROM) -sim.seed $(SEED) -sim.reruns $(RERUNS) \
		| grep -v -e '^=== ' -e '^ *--- PASS: TestSimulation/'

.PHONY: sim-bugs
sim-bugs: ## Put deliberate bugs into the worker, one at a time; the simulator must detect each
	@mkdir -p .cache/bin
	@go test -c -o .cache/bin/sim.test ./internal/worker/sim
	@cd internal/worker/sim && ../../../.cache/bin/sim.test -test.run '^TestBugs$$' -test.v -test.timeout 0 -sim.bugs \
		| grep -v -e '^=== ' -e '^ *--- PASS: TestBugs'

.PHONY: fuzz-long
fuzz-long: ## Fuzz each decoder for ten minutes
	@$(MAKE) --no-print-directory fuzz FUZZTIME=10m

BOMBS ?= together

.PHONY: bombs
bombs: ## Flood the real worker with messages that try to take too much memory (BOMBS=each: every kind by itself, 20 minutes)
	go test ./cmd/worker -run '^TestBombs$$|^TestBombAges$$' -v -count 1 -timeout 0 -bombs $(BOMBS)

KILLS ?= 100

.PHONY: crash
crash: ## Kill real workers at random under load and network faults, and check the table (KILLS=100)
	go test ./cmd/worker -run '^TestBinary$$' -v -count 1 -timeout 0 -crash.kills $(KILLS)

OBJECT_KILLS ?= 20
OBJECT_MIB ?= 2048

.PHONY: crash-objects
crash-objects: ## Kill real workers while they read an object of 2 GB, and compare the table with it (OBJECT_KILLS=20 OBJECT_MIB=2048)
	go test ./cmd/worker -run '^TestObjectsCrash$$' -v -count 1 -timeout 0 -objects.kills $(OBJECT_KILLS) -objects.mib $(OBJECT_MIB)

IDS ?= 100
VERSIONS ?= 2000

.PHONY: deletes
deletes: ## Delete ids with many versions while real workers are killed, on fakes and stand-ins (IDS=100 VERSIONS=2000)
	PREDCACHE_REQUIRE_STANDINS=1 dev/standins/run.sh go test ./cmd/worker -run '^TestDeletesOfBinary$$|^TestEraseBinary$$' -v -count 1 -timeout 0 \
		-deletes.ids $(IDS) -deletes.versions $(VERSIONS) -erase.ids $(IDS) -erase.versions $(VERSIONS) -erase.kills 5
