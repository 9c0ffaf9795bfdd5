# `make help` lists the targets. On a fresh machine, `make demo` and `make test` install what they need.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools are installed into .cache/bin at pinned versions, so that everyone uses the same ones.
export GOBIN := $(CURDIR)/.cache/bin
export GOFLAGS ?= -buildvcs=false
GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION := v1.9.0
VULNDB_VERSION := v0.0.0-20261105234957-e22db6528018

# The flags of the image and the releases. grpcnotrace leaves out gRPC's trace pages and their templates. Without templates the
# linker drops every method that nobody calls, which saves 5 MB.
BUILD := CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -ldflags "-s -w"

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-zA-Z_-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

.PHONY: build
build: ## Build the worker into bin/
	$(BUILD) -o bin/worker ./cmd/worker

.PHONY: test
test: ## Run all tests with the race detector, against stand-ins for SQS and DynamoDB
	PREDCACHE_REQUIRE_STANDINS=1 dev/standins/run.sh go test -race -timeout 12m ./...
	$(MAKE) --no-print-directory test-dev
	$(MAKE) --no-print-directory test-python
	$(MAKE) --no-print-directory test-formats

.PHONY: test-quick
test-quick: ## Run the tests that need no stand-ins
	go test ./...

.PHONY: fuzz
FUZZTIME ?= 30s
fuzz: ## Fuzz each decoder (FUZZTIME=30s)
	@for package in $$(grep -rl --include='*_test.go' '^func Fuzz' internal cache 2>/dev/null | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -h '^func Fuzz' $$package/*_test.go | sed 's/func \(Fuzz[A-Za-z0-9_]*\).*/\1/'); do \
			echo "$$package $$target"; go test ./$$package -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x; \
		done; \
	done

.PHONY: lint
lint: $(GOBIN)/golangci-lint-$(GOLANGCI_LINT_VERSION) ## Check style, import directions, tidy go.mod files and known vulnerabilities
	$< run ./...
	@for module in . dev deployments deployments/pulumi deployments/testproviders; do go -C $$module mod tidy -diff; done
	@$(MAKE) --no-print-directory vulncheck

$(GOBIN)/golangci-lint-$(GOLANGCI_LINT_VERSION):
	@echo "Building golangci-lint: two minutes, the first time."
	go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(GOBIN)/golangci-lint $@

.PHONY: vulncheck
vulncheck: ## Check dependencies for known vulnerabilities
	tools/vulncheck.sh $(GOVULNCHECK_VERSION) $(VULNDB_VERSION)

.PHONY: docs
docs: ## Write the generated tables of docs/ and the deployments' lists of settings
	go test ./internal/config -run TestSettingsPage -update
	go test ./internal/telemetry -run 'TestMetricsTable|TestEMFTable|TestLogsTable' -update
	go test ./internal/awsclient -run TestErrorsTable -update
	go -C deployments test -run 'HasTheWorkersSettings|HasTheAlarms|HasTheValues|AlertsByTroubleAreDocumented' -update .
	deployments/tools/install.sh terraform-docs
	.cache/deploy/bin/terraform-docs deployments/terraform

include mk/*.mk

.PHONY: clean
clean: ## Remove build outputs and downloads
	rm -rf bin .cache
