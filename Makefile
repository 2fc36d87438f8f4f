# `make help` prints the targets with the text behind their ##.
SHELL := /bin/bash
BIN := .venv/bin
TESTS ?= tests
N ?= 20000
CODE := src tests tools examples $(wildcard bench)

.DEFAULT_GOAL := help
.PHONY: help setup demo test sim zoo chaos check fmt bench reference trust constraints clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/.ready ## everything that working on afield needs, in .venv

.venv/.ready: pyproject.toml constraints.txt tools/setup.sh
	@bash tools/setup.sh

demo: setup ## trains a classifier through afield, twice: the second time everything is cached
	cd examples/digits && ../../$(BIN)/afield run train.py
	@echo; echo "--- again: nothing is built or sent twice"
	cd examples/digits && ../../$(BIN)/afield run train.py
	@echo; echo "--- what the job left"
	ls -l examples/digits/outputs/latest/

test: setup ## all tests but the campaigns; TESTS=tests/unit for some of them
	@bash tools/system.sh
	$(BIN)/pytest -q -rs --durations=5 -n 3 --dist loadfile --no-loadscope-reorder $(TESTS)

chaos: setup ## kills N processes of ours at random, and all other faults in large; adds the totals to docs/trust.md
	@bash tools/system.sh; mkdir -p build; rm -f build/chaos.json
	AFIELD_TOTALS=build/chaos.json AFIELD_KILLS=$(N) AFIELD_EACH=20 AFIELD_PAIRS=0 AFIELD_CUTS=500 AFIELD_LOG_BYTES=1073741824 \
	    AFIELD_TREES=1000 AFIELD_REUSES=100 AFIELD_REBOOTS=50 AFIELD_COPIES=100 AFIELD_DISK_STEPS=40 AFIELD_DISK_STRIDE=1 \
	    $(BIN)/pytest -q -s tests/chaos
	$(BIN)/python tools/trust.py add build/chaos.json

sim: setup ## N=50000 simulated schedules from seed BASE, totals into JSON=file; SEED=1234 tells the story of one
	$(BIN)/python -m tests.sim.run $(if $(SEED),--seed $(SEED) $(if $(ALL),--all),--seeds $(or $(BASE),0):$$(($(or $(BASE),0) + $(or $(N),5000))) --processes 2 $(if $(JSON),--write $(JSON)))

zoo: setup ## plants bugs in a copy of the source, one at a time: each must be found; totals into build/zoo.json
	@mkdir -p build
	$(BIN)/python -m tests.zoo.zoo --write build/zoo.json

check: setup ## format, lint, types, who imports whom, sizes, links, Python 3.8
	@bash tools/check.sh

fmt: setup ## writes the code as check wants it
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: setup ## side by side with doing it by hand; results as JSON
	$(BIN)/python bench/run.py

reference: setup ## docs/reference/ from the code
	$(BIN)/python tools/reference.py

trust: setup ## the tables of docs/promise.md and docs/trust.md from what was run
	$(BIN)/python tools/trust.py

constraints: setup ## newest versions of all dependencies, pinned
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate \
	    --group dev --group build --output-file constraints.txt pyproject.toml

clean: ## removes what the other targets made
	rm -rf .venv .venv-tools build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests tools examples -name __pycache__ -type d -prune -exec rm -rf {} +
