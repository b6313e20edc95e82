# What one does with Fovea. Every target sees to its own set-up; `make demo` and `make test` need nothing but Python and make.
.DEFAULT_GOAL := help
BIN := .venv/bin
SERVING := .venv/.serving
VENV := .venv/.testing
TRAINING := .venv/.training
TRITONCLIENT := .venv/peers/tritonclient/.installed
KSERVE := .venv/peers/kserve/.installed
SCHEMATHESIS := .venv/peers/schemathesis/.installed
CHECKOV := .venv/peers/checkov/.installed
CYCLONEDX := .venv/peers/cyclonedx/.installed

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' Makefile

.PHONY: venv venv-gpu venv-training peers-triton peers-kserve peers-schemathesis browser
venv: $(VENV) ## make .venv, pinned, with all that serves and tests
venv-gpu: $(SERVING) ## the same for NVIDIA GPUs, with CUDA and cuDNN
	@scripts/venv gpu
venv-training: $(TRAINING) ## the same with torch
peers-triton: $(TRITONCLIENT) ## Triton's client, which needs an older protobuf, in an environment of its own
peers-kserve: $(KSERVE) ## KServe's clients, in an environment of their own for the same reason
peers-schemathesis: $(SCHEMATHESIS) ## schemathesis, which sends what /openapi.json allows, in an environment of its own
browser: $(VENV) ## a Chromium for the page's tests, where there is none
	@scripts/browser
	@scripts/network-tool

$(SERVING): pyproject.toml constraints.txt scripts/venv
	@scripts/venv
	@touch $@

$(VENV): $(SERVING)
	@scripts/venv testing
	@touch $@

$(TRAINING): $(VENV) packages/fovea-training/pyproject.toml
	@scripts/venv training
	@touch $@

$(TRITONCLIENT): $(VENV) constraints-tritonclient.txt
	@scripts/venv peer tritonclient
	@touch $@

$(CHECKOV): $(VENV) constraints-checkov.txt
	@scripts/venv peer checkov
	@touch $@

$(CYCLONEDX): $(VENV) constraints-cyclonedx.txt
	@scripts/venv peer cyclonedx
	@touch $@

$(KSERVE): $(VENV) constraints-kserve.txt
	@scripts/venv peer kserve
	@touch $@

$(SCHEMATHESIS): $(VENV) constraints-schemathesis.txt
	@scripts/venv peer schemathesis
	@touch $@

.PHONY: up demo
up: $(SERVING) ## start everything on this machine; ARGS="--port 9000" passes flags on
	@$(BIN)/fovea up $(ARGS)

demo: $(SERVING) ## start everything, fill a gallery, ask it; ONCE=1 stops after the answers
	@$(BIN)/fovea demo $(if $(ONCE),--once) $(ARGS)

.PHONY: test test-more check protos settings format
# The tests of one file run in one process, with servers of its own: most of the time they wait. WORKERS=0 uses none.
WORKERS ?= 3
PYTEST := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
test: $(TRAINING) $(TRITONCLIENT) $(KSERVE) browser ## every test that CI waits for first; ARGS="tests/cli -k up" chooses
	$(PYTEST) -m "not more and not deploy" $(ARGS)

test-more: $(TRAINING) $(TRITONCLIENT) $(KSERVE) $(SCHEMATHESIS) $(CYCLONEDX) browser ## the long tests: fuzzing, large inputs, long waits
	$(PYTEST) -m more $(ARGS)

# Builds images of some 2 GB in a folder of its own, which is gone afterwards; about ten minutes, as root on Debian.
.PHONY: wheelhouse sbom deploy-check
wheelhouse: $(VENV) ## the wheels that images are built from, into dist/wheels
	@scripts/wheelhouse

sbom: $(CYCLONEDX) ## a bill of materials for each image, into dist/sbom
	@scripts/sbom

deploy-check: $(TRAINING) $(CHECKOV) ## build the images and run them with podman, as root
	@scripts/system-packages podman buildah runc mmdebstrap netavark aardvark-dns catatonit curl iptables iproute2
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m deploy --timeout 1800 $(ARGS)

check: $(TRAINING) ## format, lint, types, import contracts, the contract's lint and the stubs' freshness
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python protos/compile.py --check

protos: $(VENV) ## compile the contract to stubs
	$(BIN)/python protos/compile.py

settings: $(VENV) ## write the tables of docs/settings.md from the settings classes
	$(BIN)/python -P scripts/settings_tables.py

format: $(VENV) ## let ruff write the format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Each system small, from drawn pictures to an evaluated bundle, by the command that trains it in full.
SYSTEMS := pedestrians text_sketch cars objects
CI_RUN := data/train-ci

.PHONY: train-ci evaluate
train-ci: $(TRAINING) ## train all four systems small, from data to evaluated bundles
	rm -rf $(CI_RUN)
	$(foreach system,$(SYSTEMS),$(BIN)/python -m training.$(system) draw train export evaluate \
	  --config training/configs/$(system)_ci.toml --data $(CI_RUN)/$(system)/data --run $(CI_RUN)/$(system)/run \
	  --out $(CI_RUN)/$(system)/models $(ARGS) && ) true

evaluate: $(TRAINING) ## evaluate the shipped bundles through the RPCs, into docs/results/evaluation.json
	$(BIN)/python -m training.evaluate $(ARGS)

.PHONY: bench-quick bench-scale load constraints clean
bench-quick: $(TRAINING) ## ratios to the raw limits in three minutes, into docs/results/bench-quick.json
	$(BIN)/python -m benchmarks.quick $(ARGS)

bench-scale: $(TRAINING) ## collections of 20,000 and 200,000 images; ARGS="--engine lite --sizes 20000 1000000" chooses
	$(BIN)/python -m benchmarks.scale $(ARGS)

load: $(TRAINING) ## calls by ghz, each kind in steps to its knee; ARGS="search-image --run ~/.local/share/fovea/run.json" chooses
	$(BIN)/python -m benchmarks.ghz $(ARGS)

constraints: $(TRAINING) ## pin what .venv holds now
	@scripts/venv constraints

clean: ## remove what was made here: the environment and the caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist ./*.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
