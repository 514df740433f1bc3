# What a person does with this repository. `make` alone lists it.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ADDRESS ?= 127.0.0.1:50051

.DEFAULT_GOAL := help
.PHONY: help run test test-fast check format format-check lint types layers proto proto-check proto-breaking proto-released \
        client client-check docs docs-check lock clean bench bench-peers bench-guard bench-lint bench-lock

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.txt pyproject.toml clients/python/pyproject.toml emulator/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	    --editable clients/python --editable emulator --editable .
	@touch $@

# The tools of the other languages: generators, linters and what people call a server with.
GO_TOOLS   := .tools/bin/.installed
JAVA_TOOLS := .tools/java/.installed
NODE_TOOLS := clients/typescript/node_modules/.installed
MVN        := mvn --batch-mode --quiet --file clients/java/pom.xml

$(GO_TOOLS): clients/go/tools/go.mod clients/go/tools/go.sum
	cd clients/go/tools && GOBIN=$(CURDIR)/.tools/bin go install tool
	@touch $@

$(JAVA_TOOLS): clients/java/pom.xml
	$(MVN) dependency:copy@generators
	chmod +x .tools/java/*
	@touch $@

$(NODE_TOOLS): clients/typescript/package.json clients/typescript/package-lock.json
	cd clients/typescript && npm ci --silent --no-audit --no-fund
	@touch $@

run: $(STAMP) ## Serve on 127.0.0.1:50051 against the emulator
	$(BIN)/contextbridge serve --listen $(ADDRESS) --upstream emulator --data-dir .data \
	    --log-format console

test: $(STAMP) ## Run all tests, with coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-fast: $(STAMP) ## Run the tests to run between edits, at most a minute
	$(BIN)/python -m pytest -q $(FAST)
	@echo "left out: clusters, killed processes, workers, generations, other languages (make test, make test-clients)"

# Pure functions, and the call path over a channel.
FAST := tests/unit tests/service/test_golden.py tests/service/test_context_service.py \
        tests/service/test_gemini_service.py tests/service/test_walk.py \
        --ignore=tests/unit/store --ignore=tests/unit/emulator --ignore=tests/unit/generations

check: format-check lint types layers proto-check proto-breaking client-check version-check docs-check test test-clients bench-lint bench-guard ## Run what CI runs

format: $(STAMP) ## Format code and protos
	$(BIN)/ruff format
	$(BIN)/buf format --write protos

format-check: $(STAMP)
	$(BIN)/ruff format --check
	$(BIN)/buf format --diff --exit-code protos

lint: $(STAMP) ## Lint code, protos and dependencies
	$(BIN)/ruff check
	$(BIN)/buf lint protos
	$(BIN)/deptry server
	$(BIN)/deptry server tests benchmarks protos docs clients --non-dev-dependency-groups dev
	cd emulator && ../$(BIN)/deptry .
	cd clients/python && ../../$(BIN)/deptry .

types: $(STAMP) ## Check types
	$(BIN)/mypy

layers: $(STAMP) ## Check that imports point one way
	$(BIN)/lint-imports --no-logo

GENERATORS := $(STAMP) $(GO_TOOLS) $(JAVA_TOOLS) $(NODE_TOOLS)

proto: $(GENERATORS) ## Generate stubs and descriptor set from the protos
	$(BIN)/python protos/generate.py

proto-check: $(GENERATORS) ## Check that what is generated is current
	$(BIN)/python protos/generate.py --check

proto-breaking: $(STAMP) ## Check that the contract breaks no client of the last release
	$(BIN)/buf breaking protos --against protos/released.binpb

proto-released: $(STAMP) ## Take the contract as it stands for the released one, at a release
	$(BIN)/buf build protos --exclude-source-info --output protos/released.binpb

client: $(STAMP) ## Generate the blocking Python client from the asyncio one
	$(BIN)/python clients/python/generate_sync.py

client-check: $(STAMP)
	$(BIN)/python clients/python/generate_sync.py --check

# The clients. CLIENTS="go rust" limits what these do to some of them.
CLIENTS   := python python-blocking go typescript java rust
LANGUAGES := $(sort $(subst -blocking,,$(CLIENTS)))
VERSION    = $(shell cat clients/VERSION)
CLIENT_TARGETS := $(foreach what,lint unit runner dist,$(addprefix $(what)-,python go typescript java rust))
.PHONY: test-clients dist version version-check released $(CLIENT_TARGETS)

test-clients: released $(addprefix lint-,$(LANGUAGES)) $(addprefix unit-,$(LANGUAGES)) $(addprefix runner-,$(LANGUAGES)) dist ## Lint and test the clients in every language, and their packages
	CONTEXTBRIDGE_CLIENTS="$(CLIENTS)" CONTEXTBRIDGE_RELEASED_TREE=$(RELEASED) \
	    $(BIN)/python -m pytest tests/clients/test_*.py tests/packaging

dist: $(addprefix dist-,$(LANGUAGES)) ## Build every package, into dist/

# Python's are among everything else's: `make lint types test`.
lint-python unit-python runner-python: $(STAMP)

dist-python: $(STAMP)
	rm -rf dist/python
	cd clients/python && ../../$(BIN)/python -m hatchling build -d ../../dist/python
	cd emulator && ../$(BIN)/python -m hatchling build -d ../dist/python
	$(BIN)/python -m hatchling build -t wheel -d dist/python

lint-go: $(GO_TOOLS)
	cd clients/go && UNFORMATTED=$$(gofmt -l .) && echo "$$UNFORMATTED" && test -z "$$UNFORMATTED"
	cd clients/go && go vet ./... && ../../.tools/bin/staticcheck ./...

unit-go:
	cd clients/go && go test -race ./...

runner-go:
	cd clients/go && go build -o ../../.tools/bin/conformance-go ./internal/conformance

dist-go:
	rm -rf dist/go
	cd clients/go/tools && go run ./modulezip .. v$(VERSION) ../../../dist/go

lint-typescript: runner-typescript
	cd clients/typescript && npm run --silent lint

unit-typescript: runner-typescript
	cd clients/typescript && node --test dist/test/

runner-typescript: $(NODE_TOOLS)
	cd clients/typescript && npm run --silent build

dist-typescript: $(NODE_TOOLS)
	rm -rf dist/typescript && mkdir -p dist/typescript
	cd clients/typescript && npm pack --silent --pack-destination ../../dist/typescript

lint-java: runner-java
	$(MVN) spotless:check

unit-java:
	$(MVN) test

runner-java:
	$(MVN) test-compile

dist-java:
	rm -rf dist/java
	$(MVN) deploy -DskipTests -DaltDeploymentRepository=dist::file://$(CURDIR)/dist/java

CARGO := cargo --quiet

lint-rust:
	cd clients/rust && $(CARGO) fmt --all --check
	cd clients/rust && $(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	cd clients/rust && RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --package contextbridge-client

unit-rust:
	cd clients/rust && $(CARGO) test --locked

runner-rust:
	cd clients/rust && $(CARGO) build --locked --package conformance

dist-rust:
	rm -rf dist/rust && mkdir -p dist/rust
	cd clients/rust && $(CARGO) package --locked --allow-dirty --no-verify --package contextbridge-client
	cp clients/rust/target/package/contextbridge-client-$(VERSION).crate dist/rust/

# The sources of the last release, whose clients are tested with this server: its tag, or where a
# clone has none the commit that wrote its version.
RELEASED := $(CURDIR)/.cache/released
RELEASED_RUNNERS := $(addprefix runner-,$(filter-out python,$(LANGUAGES)))

released:
	rm -rf $(RELEASED) && mkdir -p $(RELEASED)
	git archive $$(git rev-parse --quiet --verify refs/tags/v$(VERSION)^{commit} || git log -1 --format=%H -- clients/VERSION) \
	    | tar -x -C $(RELEASED)
	$(if $(RELEASED_RUNNERS),CARGO_TARGET_DIR=$(CURDIR)/clients/rust/target $(MAKE) --directory $(RELEASED) $(RELEASED_RUNNERS))
	mkdir -p $(RELEASED)/clients/rust/target/debug
	if [ -f clients/rust/target/debug/conformance ]; then cp clients/rust/target/debug/conformance $(RELEASED)/clients/rust/target/debug/; fi

version: $(STAMP) ## Write clients/VERSION into every package
	$(BIN)/python clients/version.py

version-check: $(STAMP)
	$(BIN)/python clients/version.py --check

docs: $(STAMP) ## Generate the reference documentation
	$(BIN)/python docs/generate.py

docs-check: $(STAMP)
	$(BIN)/python docs/generate.py --check
	$(BIN)/python docs/words.py

# What upstream and the load are: compiled, so that they are never the bottleneck.
BENCH_SOURCES := $(wildcard benchmarks/go.* benchmarks/*/*.go clients/go/contextbridge/v1/*.go)
BENCH_TOOLS   := .tools/bin/bench-upstream .tools/bin/bench-load
PICTURES      := .venvs/bench/.installed
PEERS         := .venvs/litellm/.installed benchmarks/peers/node_modules/.installed

.tools/bin/bench-%: $(BENCH_SOURCES)
	cd benchmarks && go build -o $(CURDIR)/$@ ./$*

$(PICTURES): benchmarks/requirements.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venvs/litellm/.installed: benchmarks/peers/litellm.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

benchmarks/peers/node_modules/.installed: benchmarks/peers/package.json benchmarks/peers/package-lock.json
	cd benchmarks/peers && npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@

bench: $(STAMP) $(BENCH_TOOLS) $(PICTURES) ## Measure, into benchmarks/results: a quarter of an hour on an idle machine
	$(BIN)/python benchmarks/bench.py $(BENCH)

bench-peers: $(STAMP) $(BENCH_TOOLS) $(PICTURES) $(PEERS) ## Measure beside other gateways
	$(BIN)/python benchmarks/bench.py --parts= --peers $(BENCH)

bench-guard: $(STAMP) $(BENCH_TOOLS) ## Check that no call costs more than it did
	$(BIN)/python benchmarks/guard.py

bench-lint:
	cd benchmarks && UNFORMATTED=$$(gofmt -l load upstream) && echo "$$UNFORMATTED" && test -z "$$UNFORMATTED"
	cd benchmarks && go vet ./...

lock: ## Resolve the dependencies anew, with hashes
	$(PYTHON) -m venv .venvs/lock
	.venvs/lock/bin/python -m pip install --quiet uv==0.13.9
	.venvs/lock/bin/uv pip compile pyproject.toml $(LOCK) --output-file requirements/server.txt
	.venvs/lock/bin/uv pip compile pyproject.toml --group dev --extra emulator $(LOCK) \
	    --constraint requirements/server.txt --output-file requirements/dev.txt

LOCK := --quiet --universal --generate-hashes --python-version 3.11 --no-emit-package contextbridge \
        --no-emit-package contextbridge-emulator \
        --custom-compile-command 'make lock'

bench-lock: ## Resolve the dependencies of the benchmark anew, with hashes
	$(PYTHON) -m venv .venvs/lock
	.venvs/lock/bin/python -m pip install --quiet uv==0.13.9
	.venvs/lock/bin/uv pip compile benchmarks/requirements.in $(BENCH_LOCK) --output-file benchmarks/requirements.txt
	.venvs/lock/bin/uv pip compile benchmarks/peers/litellm.in $(BENCH_LOCK) --output-file benchmarks/peers/litellm.txt
	cd benchmarks/peers && npm install --silent --package-lock-only --ignore-scripts --no-audit --no-fund

BENCH_LOCK := --quiet --universal --generate-hashes --python-version 3.11 --custom-compile-command 'make bench-lock'

clean: ## Remove everything that is not in the repository
	git clean -fdX
