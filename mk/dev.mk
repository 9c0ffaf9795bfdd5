# The demo, and the same services for development.

LAYOUT ?= versioned
PIPELINE ?= --pack --mishaps

.PHONY: demo
demo: .cache/bin/demo ## Run the worker on recorded predictions, without AWS (LAYOUT=versioned, expiry-sorted, latest-only)
	@.cache/bin/demo --layout $(LAYOUT)

.PHONY: dev
dev: .cache/bin/demo ## Run the demo until Ctrl-C, to publish and read yourself
	@.cache/bin/demo --layout $(LAYOUT) --keep --env-file .cache/dev.env

.PHONY: pipeline
pipeline: dev-is-running .cache/pipeline/installed ## Train, predict and publish from Python to a running `make dev`
	@. ./.cache/dev.env && PYTHONDONTWRITEBYTECODE=1 .cache/pipeline/bin/python examples/pipeline/pipeline.py --queue-url "$$PREDCACHE_QUEUE_URL" $(PIPELINE)

.PHONY: dev-is-running
dev-is-running:
	@test -f .cache/dev.env || { echo "Run 'make dev' in another terminal first."; exit 1; }

.PHONY: test-dev
test-dev: ## Test the demo
	go -C dev test ./cmd/...

# Always run: Go checks whether anything has changed.
.PHONY: .cache/bin/demo
.cache/bin/demo:
	@test -x $@ || echo "Building the demo: a minute or two, the first time."
	@go -C dev build -o ../$@ ./cmd/demo

.cache/pipeline/installed: examples/pipeline/requirements.txt .cache/python/dist/.built
	@echo "Installing the pipeline's packages into .cache/pipeline"
	@python3 -m venv .cache/pipeline
	@.cache/pipeline/bin/pip install --quiet --disable-pip-version-check -r $< .cache/python/dist/*.whl
	@touch $@
