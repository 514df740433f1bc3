# What a person does with this repository. `make` alone lists it.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ADDRESS ?= 127.0.0.1:50051

.DEFAULT_GOAL := help
.PHONY: help run test check format format-check lint types layers proto proto-check proto-breaking proto-released \
        client client-check docs docs-check lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.txt pyproject.toml clients/python/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	    --editable clients/python --editable .
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

run: $(STAMP) ## Serve on 127.0.0.1:50051 against the built-in emulator
	$(BIN)/contextbridge serve --listen $(ADDRESS) --upstream emulator --data-dir .data \
	    --log-format console

test: $(STAMP) ## Run all tests, with coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: format-check lint types layers proto-check proto-breaking client-check docs-check test ## Run what CI runs

format: $(STAMP) ## Format code and protos
	$(BIN)/ruff format
	$(BIN)/buf format --write protos

format-check: $(STAMP)
	$(BIN)/ruff format --check
	$(BIN)/buf format --diff --exit-code protos

lint: $(STAMP) ## Lint code and protos
	$(BIN)/ruff check
	$(BIN)/buf lint protos

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

docs: $(STAMP) ## Generate the reference documentation
	$(BIN)/python docs/generate.py

docs-check: $(STAMP)
	$(BIN)/python docs/generate.py --check

lock: ## Resolve the dependencies anew, with hashes
	$(PYTHON) -m venv .venvs/lock
	.venvs/lock/bin/python -m pip install --quiet uv==0.13.9
	.venvs/lock/bin/uv pip compile pyproject.toml $(LOCK) --output-file requirements/server.txt
	.venvs/lock/bin/uv pip compile pyproject.toml --group dev $(LOCK) \
	    --constraint requirements/server.txt --output-file requirements/dev.txt

LOCK := --quiet --universal --generate-hashes --python-version 3.11 --no-emit-package contextbridge \
        --custom-compile-command 'make lock'

clean: ## Remove everything that is not in the repository
	git clean -fdX
