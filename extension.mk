# The extension and the gateway, by PGXS. People use the Makefile; `make -f extension.mk` needs the packages to be there.
EXTENSION = flowforge
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" flowforge.control)
MODULE_big = flowforge

# Folders in the order they depend on each other.
ROOMS = util lang schema http team audit secret slot flow function event cron run graph ai step sandbox protocol worker api hook watch
OBJS = src/flowforge.o $(sort $(patsubst %.c,%.o,$(foreach room,$(ROOMS),$(wildcard src/$(room)/*.c))))

# The install script is the rooms' SQL in this order.
SQL_PARTS = src/util/util.sql src/http/outbound.sql src/lang/lang.sql src/schema/schema.sql src/team/team.sql src/team/role.sql src/team/policy.sql src/audit/audit.sql src/function/function.sql src/event/event.sql src/cron/cron.sql src/run/run.sql src/run/feed.sql src/flow/flow.sql src/flow/held.sql \
	$(foreach part,principal key user,src/team/$(part).sql) \
	src/run/partition.sql src/flow/claim.sql src/slot/slot.sql src/run/view.sql src/event/signal.sql src/run/control.sql src/run/metadata.sql \
	src/run/repeat.sql src/run/bulk.sql src/run/pause.sql src/flow/explain.sql src/run/explain.sql src/step/lock.sql src/run/fsck.sql src/function/check.sql src/flow/check.sql src/function/register.sql \
	src/cron/schedule.sql src/protocol/sync.sql src/protocol/state.sql src/ai/ai.sql src/secret/secret.sql src/ai/price.sql \
	$(foreach part,sql approval approval_link,src/step/$(part).sql) src/run/resume.sql src/run/trace.sql \
	$(foreach part,catalogue graph workflow publish diff public register_function,src/graph/$(part).sql) \
	$(foreach part,route answer repeat serve health metrics events runs control approvals workflows stream feed socket apps functions tenant catalog sdk endpoint v1 cancellation graphql openapi page form approve,src/api/$(part).sql) \
	$(foreach part,keys secrets auth me users,src/api/$(part).sql) \
	src/hook/hook.sql src/watch/watch.sql src/api/triggers.sql src/audit/changes.sql src/audit/verify.sql src/api/audit.sql src/team/protect.sql src/team/grant.sql
DATA_built = $(EXTENSION)--$(EXTVERSION).sql

PG_CPPFLAGS = -I$(srcdir)/src -DFF_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -Wno-clobbered -std=gnu11
SHLIB_LINK = -lcurl -lcrypto -largon2
EXTRA_CLEAN = src/*/*.bc

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
override with_llvm = no
include $(PGXS)

all: gateway sandbox
.DEFAULT_GOAL := all

$(DATA_built): $(SQL_PARTS) flowforge.control extension.mk
	@{ printf '%s\n' '\echo Use "create extension flowforge" to load this file. \quit'; cat $(SQL_PARTS); } > $@

$(OBJS): $(wildcard src/*/*.h)

.PHONY: gateway sandbox

gateway:
	@$(MAKE) --no-print-directory -C src/gateway PG_CONFIG=$(PG_CONFIG)

install: install-gateway
install-gateway: gateway
	@$(MAKE) --no-print-directory -C src/gateway install PG_CONFIG=$(PG_CONFIG)

clean: clean-gateway
clean-gateway:
	@$(MAKE) --no-print-directory -C src/gateway clean PG_CONFIG=$(PG_CONFIG)

sandbox:
	@$(MAKE) --no-print-directory -C src/sandbox/program PG_CONFIG=$(PG_CONFIG)

install: install-sandbox
install-sandbox: sandbox
	@$(MAKE) --no-print-directory -C src/sandbox/program install PG_CONFIG=$(PG_CONFIG)

clean: clean-sandbox
clean-sandbox:
	@$(MAKE) --no-print-directory -C src/sandbox/program clean
