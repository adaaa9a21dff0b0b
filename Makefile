# SPDX-License-Identifier: Apache-2.0
# For people; meson and ninja do the work, in build/.

BUILD := build
BUILDTYPE ?= debugoptimized
JOBS ?= $(shell nproc)
DESTDIR ?=

.PHONY: all demo check check-quick check-long bench install uninstall clean deps docs tcb coverage lint

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) -j $(JOBS) --quiet

$(BUILD)/build.ninja: | deps
	@meson setup $(BUILD) --buildtype=$(BUILDTYPE) >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

# Installs what is missing, asking nothing.
deps:
	@sh scripts/install-deps.sh build

demo: all
	@sh scripts/install-deps.sh demo
	@python3 examples/demo/run.py $(BUILD)/cella

check: all
	@sh scripts/install-deps.sh check
	@python3 tests/run.py --build $(BUILD)

check-quick: all
	@sh scripts/install-deps.sh check
	@python3 tests/run.py --build $(BUILD) --quick

check-long: all
	@sh scripts/install-deps.sh check
	@python3 tests/run.py --build $(BUILD) --long

bench: all
	@sh scripts/install-deps.sh bench
	@python3 bench/run.py --build $(BUILD)

# Generated documentation; `make check` fails when it is stale.
docs: all
	@python3 scripts/gen-docs.py --build $(BUILD)

# Lines of C inside the keep.
tcb:
	@python3 scripts/tcb.py

# Lines of src/kernel that unit and system tests run, in a build of its own.
coverage:
	@sh scripts/install-deps.sh build
	@sh scripts/install-deps.sh check
	@python3 scripts/coverage.py

lint: all
	@sh scripts/install-deps.sh check
	@python3 scripts/lint.py --build $(BUILD)

install: all
	@DESTDIR="$(DESTDIR)" meson install -C $(BUILD) --no-rebuild --quiet

# Removes the files that install put, and directories of Cella's own that are empty then.
uninstall: $(BUILD)/build.ninja
	@python3 scripts/uninstall.py $(BUILD) "$(DESTDIR)"

clean:
	@rm -rf $(BUILD) build-fuzz build-coverage
