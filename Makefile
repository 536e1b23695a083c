# The ways into Rolewright for people and for CI. What a target needs and this machine lacks is installed or fetched
# first; how, is said in guest-policies/toolchain.sh (WebAssembly), tests/postgres-binaries.sh (PostgreSQL),
# tests/kubernetes-binaries.sh (the Kubernetes API server) and tests/registry-binaries.sh (a registry for modules).

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help demo demo-kubernetes test test-matrix test-alerts build setup kubernetes fmt format-check lint bench manifests manifests-check clean

CARGO ?= cargo
# More flags for every build and test, such as --locked.
CARGO_FLAGS ?=
# Passed on to every `cargo test`, for instance a part of a test's name.
ARGS ?=
# The PostgreSQL servers that the black-box tests run on: majors, `own` (this machine's) or `newest`.
PG_MAJORS ?= own newest
BENCH ?= $(CARGO) bench $(CARGO_FLAGS) -p rolewright-tests --bench speed -- $(ARGS)

# Cargo's directory and ours may lie outside the clone, so that they outlive it.
ifdef CARGO_TARGET_DIR
export CARGO_TARGET_DIR := $(abspath $(CARGO_TARGET_DIR))
endif
ifdef ROLEWRIGHT_CACHE
export ROLEWRIGHT_CACHE := $(abspath $(ROLEWRIGHT_CACHE))
endif
TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
# The tests, the demo and the benchmark run this binary.
export ROLEWRIGHT_BIN := $(TARGET_DIR)/release/rolewright

# Before any cargo command that compiles guests: tells their build which rustc has a library for WebAssembly.
guest = guest=$$(guest-policies/toolchain.sh) && export "$$guest"

# Before the black-box tests: tells them where the API server and helm are.
kubernetes = server=$$(tests/kubernetes-binaries.sh) && export ROLEWRIGHT_TEST_KUBERNETES="$$server" && \
	helm=$$(tests/kubernetes-binaries.sh helm) && export ROLEWRIGHT_TEST_HELM="$$helm"

# Likewise where a registry for policy modules is.
registry = registry=$$(tests/registry-binaries.sh) && export ROLEWRIGHT_TEST_REGISTRY="$$registry"

# $(call need,command,Debian package,what for): installs it on Debian as root, else says what is missing.
define need
@command -v $(1) >/dev/null || { \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "setup: installing $(2) ($(3))"; \
		apt-get update -qq </dev/null && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) </dev/null; \
	else \
		echo "setup: $(1) is missing ($(3)). Install it, on Debian with: apt-get install $(2)" >&2; exit 1; \
	fi; }
endef

# $(call black-box,versions): the black-box tests, once on each PostgreSQL; all are run, even when one fails.
define black-box
servers=$$(tests/postgres-binaries.sh $(1)) && $(guest) && $(kubernetes) && $(registry) && \
printf '%s\n' "$$servers" | { failed=; while IFS= read -r bin; do \
	server=$$("$$bin/postgres" --version); \
	echo "=== black-box tests on $$server"; \
	ROLEWRIGHT_TEST_PG_BIN="$$bin" $(CARGO) test --release $(CARGO_FLAGS) --no-fail-fast -p rolewright-tests $(ARGS) </dev/null \
		|| failed="$$failed$$server; "; \
done; [ -z "$$failed" ] || { echo "failed on: $$failed" >&2; exit 1; }; }
endef

help: ## show this list
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make TARGET\n" } /^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Settings: ARGS=NAME picks tests; PG_MAJORS=\"15 newest\" picks PostgreSQL servers for \`make test\`;"
	@echo "CARGO_TARGET_DIR and ROLEWRIGHT_CACHE move what is built and what is fetched out of ./target."

demo: build ## play the whole story on a throwaway PostgreSQL of its own
	@pg_bin=$$(tests/postgres-binaries.sh any) && PG_BIN="$$pg_bin" examples/demo/run

demo-kubernetes: kubernetes build ## play the story of a cluster on a throwaway Kubernetes API server
	$(call need,openssl,openssl,the demo signs the tokens of its API server)
	@pg_bin=$$(tests/postgres-binaries.sh any) && $(kubernetes) && KUBERNETES_BIN="$$ROLEWRIGHT_TEST_KUBERNETES" \
		HELM="$$ROLEWRIGHT_TEST_HELM" PG_BIN="$$pg_bin" examples/demo-kubernetes/run

test: format-check kubernetes test-alerts build ## run every test, on this machine's PostgreSQL and on the newest
# The agreement of settings is apart: what its validator asks of shared crates would have wasmtime and kube compiled twice.
	@$(guest) && $(CARGO) test --release $(CARGO_FLAGS) --no-fail-fast --workspace --exclude rolewright-tests \
		--exclude rolewright-settings-tests $(ARGS)
	@$(CARGO) test --release $(CARGO_FLAGS) --no-fail-fast -p rolewright-settings-tests $(ARGS)
	@$(call black-box,$(PG_MAJORS))

test-alerts:
	@deploy/tests/alerts.sh

test-matrix: kubernetes build ## run the black-box tests on PostgreSQL 14 to 18
	@$(call black-box,14 15 16 17 18)

build: setup ## build target/release/rolewright with its policies
	@$(guest) && $(CARGO) build --release $(CARGO_FLAGS) -p rolewright

setup: ## install what this machine lacks: WebAssembly library, C compiler, psql
	@command -v $(CARGO) >/dev/null || { echo "setup: Rust is missing. Install Rust 1.95 or newer with rustup," \
		"or on Debian as root: apt-get install rustc-web cargo-web" >&2; exit 1; }
	$(call need,cc,gcc libc6-dev,a C compiler: the crate ring has parts in C)
	$(call need,psql,postgresql-client,the demo and the tests look at the server through it)
	@guest-policies/toolchain.sh >/dev/null

kubernetes:
	@$(kubernetes)

fmt: ## format the code
	@$(CARGO) fmt --all

format-check:
	@if $(CARGO) fmt --version >/dev/null 2>&1; then $(CARGO) fmt --all --check; \
	else echo "rustfmt is not installed: the format is not checked"; fi

lint: setup format-check ## check format and clippy's advice; licences, if cargo-deny is installed
	@$(guest) && $(CARGO) clippy --release $(CARGO_FLAGS) --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check; \
	else echo "cargo-deny is not installed: licences and advisories are not checked"; fi

bench: build ## compare with plain psql, and write docs/benchmarks.md
	@pg_bin=$$(tests/postgres-binaries.sh any) && $(guest) && ROLEWRIGHT_TEST_PG_BIN="$$pg_bin" $(BENCH)

manifests: ## render deploy/kustomize and deploy/alerts.yaml from the chart
	@$(kubernetes) && HELM="$$ROLEWRIGHT_TEST_HELM" deploy/manifests.sh

manifests-check: ## fail if they are not what the chart gives
	@$(kubernetes) && HELM="$$ROLEWRIGHT_TEST_HELM" PATH="$$ROLEWRIGHT_TEST_KUBERNETES:$$PATH" deploy/manifests.sh check

clean: ## remove what was built and fetched below target
	@$(CARGO) clean
