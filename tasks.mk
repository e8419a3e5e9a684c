# What people make. Each target installs the packages it needs and is complete on a fresh Debian 12.
SUDO = $(if $(filter 0,$(shell id -u)),,sudo)
BUILD = $(MAKE) --no-print-directory -s -j2 all && $(SUDO) $(MAKE) --no-print-directory -s install >/dev/null

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 	/p' tasks.mk | expand -t 24

dev: ## install what is missing, build, start a private server with the example app, run a demo order, serve until Ctrl-C
	@sh scripts/deps.sh dev
	@$(BUILD)
	@exec sh scripts/dev.sh

check: ## every test; ends with "N passed, N failed"
	@sh scripts/deps.sh check
	@$(BUILD)
	@bash scripts/check.sh

check-sql: ## pg_regress, pgTAP and isolation tests
	@sh scripts/deps.sh check
	@$(BUILD)
	@bash scripts/check.sh regress pgtap isolation

check-crash: ## crash and lifecycle tests
	@sh scripts/deps.sh check
	@$(BUILD)
	@bash scripts/check.sh tap

crash: ## 200 random kills
	@sh scripts/deps.sh check
	@$(BUILD)
	@FLOWFORGE_KILLS=200 python3 test/tap/crash.py random

check-memory: ## the SQL tests under valgrind with assertions
	@sh scripts/deps.sh check
	@bash scripts/check-memory.sh

bench: ## the benchmarks, as ratios to limits measured in the same run
	@sh scripts/deps.sh check
	@$(BUILD)
	@bash test/bench/run.sh

lint: ## -Werror build, cppcheck, clang-tidy
	@sh scripts/deps.sh lint
	@bash scripts/lint.sh

format: ## clang-format over the C sources
	@sh scripts/deps.sh lint
	@clang-format -i $$(git ls-files 'src/*.c' 'src/*.h' 'test/*.c')

docs: ## docs/sql-api.md and docs/errors.md from the sources
	@sh scripts/deps.sh check
	@$(BUILD)
	@sh scripts/gen-docs.sh
