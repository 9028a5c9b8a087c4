# Temper's front door. `make` or `make help` lists what there is.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
RUN := .venv/bin
SERVE ?= 1
ARGS ?=

help: ## list these
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## tell the whole story with real training, once, then serve it; SERVE=0 ends after the table, AGAIN=1 trains anew
	@.ci/install run
	@$(RUN)/temper demo $(if $(filter 0,$(SERVE)),--no-serve) $(if $(filter 1,$(AGAIN)),--again)

up: ## start Temper on this machine: web, queue, database and one worker
	@.ci/install run
	@$(RUN)/temper up

install: ## install all that running and testing need into .venv
	@.ci/install dev

test: install ## run every test, those in a browser too; ARGS="-k name" chooses
	@.ci/chromium
	@$(RUN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

faults: install ## break things for real and write what it cost; ROUNDS=50 strikes at as many random moments
	@$(RUN)/python -m tests.faults.report --rounds $(or $(ROUNDS),50)

security: install ## attack it for real: each guard removed, the API and uploads fuzzed, code and packages audited
	@.ci/chromium
	@$(RUN)/python -m tests.attacks.security $(ARGS)

pictures: install ## take the tour's pictures of what `make demo` trained
	@$(RUN)/python -m pytest tests/e2e/test_tour.py --story $(or $(TEMPER_HOME),$(HOME)/.temper)

lint: install ## look for mistakes and for style
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .

fix: install ## repair what can be repaired of it
	@$(RUN)/ruff check --fix --quiet .
	@$(RUN)/ruff format --quiet .

types: install ## check types strictly
	@$(RUN)/mypy

contracts: install ## check who may import whom
	@$(RUN)/lint-imports --no-logo

migrate: install ## bring the database to the newest tables
	@$(RUN)/temper migrate

translations: install ## collect the sentences and update the catalogues
	@$(RUN)/python -m app.web.translations update

bench: install ## measure what the documentation claims
	@for script in benchmarks/*.py; do echo "── $$script"; $(RUN)/python -m "benchmarks.$$(basename "$$script" .py)" || exit 1; done

clean: ## remove what was installed and built, never what Temper has stored
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis test-results

.PHONY: help demo up install test faults security pictures lint fix types contracts migrate translations bench clean
