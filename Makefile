# FlowForge: `make help` lists the targets. Each installs the packages it needs and is complete on a fresh Debian 12.
# What is compiled, and how, is in extension.mk.
.PHONY: all install clean dev check check-sql check-sdk check-crash check-memory bench bench-peers bench-scale crash fuzz lint format docs help

PGXS_MAKE = $(MAKE) --no-print-directory -f extension.mk
SUDO = $(if $(filter 0,$(shell id -u)),,sudo)
BUILD = $(PGXS_MAKE) -s -j2 all && $(SUDO) $(PGXS_MAKE) -s install >/dev/null

all: ## build the extension and the gateway
	@$(PGXS_MAKE) all

install: ## install both (needs root)
	@$(PGXS_MAKE) install

clean: ## remove what was built
	@$(PGXS_MAKE) clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 	/p' Makefile | expand -t 24

dev: ## install what is missing, build, start a private server with the example app, run a demo order, serve until Ctrl-C
	@sh scripts/deps.sh dev
	@$(BUILD)
	@exec sh scripts/dev.sh

check: ## every test; ends with "N passed, N failed"
	@sh scripts/deps.sh check
	@$(BUILD)
	@bash scripts/check.sh

check-sql: ## pg_regress, pgTAP, isolation and the language's property tests
	@sh scripts/deps.sh check
	@$(BUILD)
	@bash scripts/check.sh regress pgtap isolation lang

check-sdk: ## the SDKs, against servers of their own
	@sh scripts/deps.sh check
	@$(BUILD)
	@bash scripts/check.sh sdk

check-crash: ## crash and lifecycle tests
	@sh scripts/deps.sh check
	@$(BUILD)
	@bash scripts/check.sh tap

crash: ## 200 random kills of what runs functions, 500 of what runs Sql steps
	@sh scripts/deps.sh check
	@$(BUILD)
	@FLOWFORGE_KILLS=200 python3 test/tap/crash.py random
	@FLOWFORGE_KILLS=500 python3 test/tap/sql_crash.py whatever

check-memory: ## every kind of test under ASan and UBSan, with assertions in the extension and a search for leaks in the gateway
	@sh scripts/deps.sh check
	@bash scripts/check-memory.sh

bench: ## the benchmarks, as ratios to limits measured in the same run
	@sh scripts/deps.sh bench
	@$(BUILD)
	@bash test/bench/run.sh

bench-peers: ## FlowForge beside pg-boss, graphile-worker, PGMQ, DBOS and absurd, and the raw limits; options in PEERS
	@sh scripts/deps.sh bench
	@$(BUILD)
	@bash test/bench/peers/run.sh $(PEERS)

bench-scale: ## the cost of a run with an old transaction, ten million steps of history, a million sleepers; SCALE=0.1 is a tenth
	@sh scripts/deps.sh check
	@$(BUILD)
	@python3 test/bench/scale.py --scale $${SCALE:-1}

fuzz: ## fuzzing of the HTTP parser and of the language, each fuzzer for FUZZ_SECONDS (60), under sanitizers
	@sh scripts/deps.sh check
	@gcc -std=gnu11 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -Isrc/gateway -o /tmp/flowforge-fuzz \
		test/fuzz/http_head.c src/gateway/wire/http.c src/gateway/wire/http_body.c
	@/tmp/flowforge-fuzz $${FUZZ_SECONDS:-60}
	@bash scripts/check-memory.sh fuzz

lint: ## -Werror build, cppcheck, clang-tidy
	@sh scripts/deps.sh lint
	@bash scripts/lint.sh

format: ## clang-format over the C sources
	@sh scripts/deps.sh lint
	@clang-format -i $$(git ls-files 'src/*.c' 'src/*.h' 'test/*.c')

docs: ## the generated pages of docs/ from the sources
	@sh scripts/deps.sh check
	@$(BUILD)
	@sh scripts/gen-docs.sh
