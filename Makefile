# Everything a person or CI calls. Needs Python 3.11+ and a package registry; `.venv` is made on first use.
.DEFAULT_GOAL := help
.PHONY: help venv run test test-full fix lint templates bench package deploy lock clean
BIN := .venv/bin
# Every start of the gateway would compile its libraries anew.
unexport PYTHONDONTWRITEBYTECODE
STAGE ?= dev
# What switches a variable off, as in settings (chalicelib/settings.py).
on = $(filter-out 0 no No NO false False FALSE off Off OFF,$(1))
# Each worker has an emulator, gateways and a browser of its own: one more than two cores fills the waits, and four
# starve storage in tests of races.  tests/conftest.py says in which order files are begun.
PYTEST_WORKERS ?= -n 3 --dist loadfile --no-loadscope-reorder

help: ## What there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

.venv/.ready: requirements-dev.lock
	@infra/bootstrap.sh

venv: .venv/.ready ## Make .venv from the lock

run: .venv/.ready ## Serve everything on this machine (PORT, TLS_PORT and every setting from the environment)
	@$(BIN)/python -m infra.local

lint: .venv/.ready ## Format, lint, types and layers, without changing anything
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

templates: .venv/.ready ## Make and lint the template of every stage
	$(BIN)/python -m infra.package --check-templates

.PHONY: node
node: .venv/.ready
	@$(BIN)/python -m tests.support.node

test: .venv/.ready ## What CI runs; reduced counts for the long runs
	@$(MAKE) --no-print-directory -j3 lint templates node
	$(BIN)/python -m pytest $(PYTEST_WORKERS) $(PYTEST_ARGS)

test-full: ## The same with the counts that the requirements name
	FOYER_TEST_FULL=1 $(MAKE) test

fix: .venv/.ready ## Format and repair what can be repaired
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.ready ## Every figure beside its goal
	$(BIN)/python -m bench

.PHONY: cost
cost: .venv/.ready ## Make docs/cost.md of counted calls and list prices
	@$(BIN)/python -m tools.cost

.PHONY: policies
policies: .venv/.ready ## Grant what a run of tests used, as it wrote it to USED; WHOLE=1 takes away the rest (docs/security.md)
	@$(BIN)/python -m tools.policies $(USED) $(if $(call on,$(WHOLE)),--whole)

.PHONY: errors
errors: .venv/.ready ## Make docs/errors.md of the tables by which errors are spelled
	@$(BIN)/python -m tools.errors

package: .venv/.ready ## Build the deployment package and template of STAGE (default dev) in build/
	$(BIN)/python -m infra.package --stage $(STAGE)

deploy: .venv/.ready ## Package and deploy STAGE; FRONT=1 puts CloudFront before it (docs/deploy.md)
	@$(BIN)/python -m infra.deploy --stage $(STAGE) $(if $(call on,$(FRONT)),--front)

.PHONY: destroy test-stack
destroy: .venv/.ready ## Delete the stack of STAGE, but not its table; YES=1 does not ask, WITH_TABLE=1 deletes that too
	@$(BIN)/python -m infra.destroy --stage $(STAGE) $(if $(call on,$(YES)),--yes) $(if $(call on,$(WITH_TABLE)),--with-table)

test-stack: .venv/.ready ## The tests of the deployed stack alone; AWS_ENDPOINT_URL or LOCALSTACK_HOST says where
	$(BIN)/python -m pytest tests/live/test_deployed.py tests/live/test_target.py $(PYTEST_ARGS)

lock: .venv/.ready ## Compile the lock files anew (needs uv)
	$(BIN)/python tools/lock.py

clean: ## Remove what was built, kept and cached; .local/ with its keys and rows too
	rm -rf .venv .local bruno/.env build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis tests/node/node_modules tests/reference/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
