# Every target first makes the machine ready (tools/setup); when it already is, that takes milliseconds.
.DEFAULT_GOAL := help
.PHONY: help setup build test fuzz miri model tsan soak audit demo bench gpu-bundle fmt clippy lint clean

# Read after `setup` has run: empty, or the flags for a machine that cannot build libjpeg-turbo.
FEATURES = $(shell cat .cargo/features 2>/dev/null)
# metacl-shard needs no libtorch, and starts 0.5 s sooner when it is not linked to it.
SHARD_FEATURES = --no-default-features -F cuda -F reference -F remote $(if $(FEATURES),,-F turbo)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 10

setup: ## install what the build needs: libtorch, cmake, nasm
	@tools/setup

build: setup ## build the programs into target/release
	cargo build --release --bin metacl-train $(FEATURES)
	cargo build --release --bin metacl-shard $(SHARD_FEATURES)

test: setup ## run every test, printing its name
	cargo test --no-fail-fast $(FEATURES)

fuzz: setup ## fuzz each reader of outside data for FUZZ_SECONDS (5) under AddressSanitizer
	@tools/fuzz all $(or $(FUZZ_SECONDS),5)

miri: ## run tests of the loader and of unsafe code in Miri, where it is installed
	@tools/sanitize miri

model: ## run the loader's ring through many orders of its threads' events
	@tools/sanitize model

tsan: ## run the tests of the loader under ThreadSanitizer, where a nightly toolchain is installed
	@tools/sanitize thread

soak: setup ## start and stop loaders over DATA for SOAK_MINUTES (20), look for what they leave behind
	cargo run --release --no-default-features $(if $(FEATURES),,-F turbo) --example soak -- \
		$(or $(DATA),$(error give a dataset: make soak DATA=FOLDER)) --minutes $(or $(SOAK_MINUTES),20)

audit: ## check licences and advisories of the dependencies (deny.toml), where cargo-deny is installed
	@tools/audit

demo: build ## make a small dataset, train on it, print the accuracies
	@tools/demo

bench: setup ## run the benchmarks
	cargo bench $(FEATURES)

gpu-bundle: setup ## pack programs and GPU tests for a machine with a GPU and without Rust
	@tools/gpu_bundle

fmt: ## format the sources
	cargo fmt

clippy: setup ## run the linter over every target, warnings are errors
	cargo clippy --all-targets $(FEATURES) -- -D warnings

lint: clippy ## clippy, and check the format
	cargo fmt --check

clean: ## remove what was built (not .venv, .libtorch, data, logs)
	cargo clean
