# The Python package in python/.

PYTHON ?= python3
PYTHON_VENV := .cache/python/venv
PYTHON_SOURCES := $(shell find python/src -name '*.py') python/pyproject.toml python/README.md

.PHONY: python-wheel
python-wheel: .cache/python/dist/.built ## Build the Python package's wheel into .cache/python/dist

.cache/python/tools/.installed: python/requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed: PYTHON=…"; exit 1; }
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.cache/python/dist/.built: .cache/python/tools/.installed $(PYTHON_SOURCES)
	@rm -rf $(@D) && mkdir -p $(@D)
	@.cache/python/tools/bin/python -m build --no-isolation --outdir $(@D) python >$(@D)/build.log || { cat $(@D)/build.log; exit 1; }
	@touch $@

# What is tested is the wheel as a user would install it, not the sources.
$(PYTHON_VENV)/.installed: .cache/python/dist/.built python/requirements-test.txt
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@wheel=$$(ls .cache/python/dist/*.whl) && $(@D)/bin/pip install --quiet --disable-pip-version-check "$$wheel[aio,speed,zstd]" -r python/requirements-test.txt
	@touch $@

.PHONY: test-python
test-python: $(PYTHON_VENV)/.installed ## Test the Python package: its wheel in a fresh environment, with the worker and stand-ins
	go build -o .cache/python/worker ./cmd/worker
	env -u AWS_CA_BUNDLE PREDCACHE_REQUIRE_STANDINS=1 PREDCACHE_WORKER=$(CURDIR)/.cache/python/worker \
		dev/standins/run.sh $(PYTHON_VENV)/bin/python -m pytest -c python/pyproject.toml python/tests examples/pipeline $(PYTEST)

.PHONY: lint-python
lint-python: .cache/python/tools/.installed ## Check the Python package's style and types
	.cache/python/tools/bin/ruff check python
	.cache/python/tools/bin/ruff check --isolated --select E,F,I,B,UP --line-length 140 examples/pipeline
	.cache/python/tools/bin/ruff format --check python
	cd python && ../.cache/python/tools/bin/mypy

# aioboto3 pins an older botocore, so what is measured has an environment of its own.
.cache/python/bench/.installed: .cache/python/dist/.built
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@wheel=$$(ls .cache/python/dist/*.whl) && $(@D)/bin/pip install --quiet --disable-pip-version-check "$$wheel[aio,speed,zstd]" 'aioboto3>=15'
	@touch $@

.PHONY: bench-python
bench-python: .cache/python/bench/.installed ## Measure the Python package's CPU beside boto3 and aioboto3
	.cache/python/bench/bin/python python/bench/bench.py

# The formats that warm reads, by the writers that make them.
.cache/python/formats/.installed: python/requirements-formats.txt
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: test-formats
test-formats: .cache/python/formats/.installed ## Write files with json, csv, pandas, pyarrow and polars, and read them with the worker
	PREDCACHE_FORMATS_PYTHON=$(CURDIR)/.cache/python/formats/bin/python go test ./cmd/worker -count 1 -run '^TestFormats$$'
