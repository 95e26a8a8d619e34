# Taskraft. `make` prints what there is to run.
#
# Every target prints how long it took, and those of make test fail past their share
# of it (scripts/timed.sh, TIME_FACTOR). Each works as the only command on a machine
# with Go, a Debian-like system and make: what is missing is installed by
# scripts/install-tools.sh first.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

BIN     := bin/taskraft
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
GOBUILD := env CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'
TIMED   := @scripts/timed.sh

# What targets may be told, as in `make fuzz FUZZTIME=10m`; also BENCHARGS, SCALEARGS, TESTARGS.
FUZZTIME  ?= 20s
SIMTIME   ?= 1m
CHAOSARGS ?= -for 50s
BASE      ?= HEAD

.PHONY: help
help: ## print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the static binary bin/taskraft
	$(TIMED) build $(GOBUILD) -o $(BIN) ./cmd/taskraft

.PHONY: tools
tools: ## install the development tools that are missing (.tools/, protoc, a C compiler)
	$(TIMED) tools scripts/install-tools.sh

.PHONY: check
check: tools ## vet, staticcheck, gofumpt, style, generated code and modules in sync
	$(TIMED) check -limit 360 scripts/check.sh

.PHONY: test
test: ## everything that must hold before a merge: check, all tests with -race, e2e
	$(TIMED) test $(MAKE) check unit seeds e2e chaos

.PHONY: unit
unit: tools ## all tests but e2e, with the race detector, in random order
	$(TIMED) unit -limit 900 scripts/unit.sh

.PHONY: sim
sim: ## the state machine in worlds of faults, against the model, for SIMTIME (default 1m)
	$(TIMED) sim go run ./internal/sim/simulate -for $(SIMTIME) -cover

.PHONY: sim-cluster
sim-cluster: ## whole masters with Raft in worlds of faults, in virtual time, for SIMTIME
	$(TIMED) sim-cluster go test ./internal/sim/clustersim -run TestSeeds -count=1 -timeout 0 -v -args -first $$RANDOM$$RANDOM -for $(SIMTIME) -cover

# The seeds that every merge must pass: always the same ones. Those of clusters take
# half a second each on two quiet cores.
.PHONY: seeds
seeds: ## 1,000 seeds of the simulator of the state machine, and seeds of clusters
	$(TIMED) seeds -limit 180 go run ./internal/sim/simulate -first 1 -seeds 1000 -for 0s
	$(TIMED) seeds-cluster -limit 90 go test ./internal/sim/clustersim -run TestSeeds -count=1 -timeout 8m -args -first 1 -seeds 60 -for 0s

.PHONY: chaos
chaos: ## real processes, real faults, a checked history (CHAOSARGS='-for 10m -only "kill leader"')
	@$(GOBUILD) -tags chaos -o bin/taskraft-chaos ./cmd/taskraft
	@$(GOBUILD) -o bin/chaos ./e2e/chaos
	$(TIMED) chaos $(if $(filter command line environment,$(origin CHAOSARGS)),,-limit 320) bin/chaos -taskraft bin/taskraft-chaos $(CHAOSARGS)

# What make test plays a part of; see docs/cases.md.
.PHONY: cases
cases: build ## the cases of docs/cases.md in their whole size (about half an hour)
	$(TIMED) cases sh -c 'go test ./fsm -count=1 -timeout 60m -v -full -run "FencesNeverRepeat|ThoughAnswersAreLost|RetentionBounds|CountersEqual" && \
		E2E_BINARY=$(CURDIR)/$(BIN) go test ./e2e -count=1 -timeout 60m -v -changes 1000 -run ConsumeThroughLeaderChanges'

.PHONY: recheck
recheck: ## judge a recorded history once more (DIR=.data/chaos/…)
	$(TIMED) recheck go run ./internal/checker/check $(DIR)

.PHONY: mutants
mutants: ## bugs seeded on purpose, one after the other: the simulator must find each
	$(TIMED) mutants scripts/mutants.sh

.PHONY: e2e
e2e: build browser ## real masters and workers, real kills (TESTARGS='-run Failover')
	$(TIMED) e2e -limit 840 env E2E_BINARY=$(CURDIR)/$(BIN) go test -count=1 -timeout 15m -v ./e2e $(TESTARGS)

.PHONY: browser
browser: ## install Chromium and axe-core, for the tests of the dashboard
	$(TIMED) browser scripts/install-tools.sh browser

# The demo's last line is its result, so it prints its own time before that.
.PHONY: demo
demo: build ## three masters, three workers, 300 real tasks, one kill -9 of the leader
	@$(GOBUILD) -o bin/demo ./e2e/demo
	@bin/demo -taskraft $(BIN)

.PHONY: bench
bench: build ## load a cluster of three processes that it starts itself (BENCHARGS=…)
	$(TIMED) bench $(BIN) bench --start 3 $(or $(BENCHARGS),--producers 64 --batch 1 --slots 64 --payload 256 --duration 10s)

.PHONY: bench-peers
bench-peers: build ## Taskraft and its peers on the same work, side by side (BENCHARGS=…)
	$(TIMED) bench-peers scripts/bench-peers.sh $(BENCHARGS)

.PHONY: bench-scale
bench-scale: build ## how cost grows with backlog, workers, queues, payloads, masters (SCALEARGS='-short')
	@$(GOBUILD) -o bin/scale ./e2e/scale
	$(TIMED) bench-scale bin/scale -taskraft $(BIN) $(SCALEARGS)

# With its symbols, which perf needs.
.PHONY: bench-budget
bench-budget: ## microseconds of CPU per lifecycle, stage by stage; needs perf (BENCHARGS='--batch 500 …')
	@env CGO_ENABLED=0 go build -o bin/symbols/taskraft ./cmd/taskraft
	$(TIMED) bench-budget go run ./e2e/budget bin/symbols/taskraft $(or $(BENCHARGS),--producers 64 --batch 1 --slots 64)

.PHONY: bench-idle
bench-idle: build ## what an idle cluster with 100 workers uses: 20 s of CPU, and memory
	@$(GOBUILD) -o bin/scale ./e2e/scale
	$(TIMED) bench-idle bin/scale -taskraft $(BIN) -only idle $(SCALEARGS)

.PHONY: bench-compare
bench-compare: tools ## Go benchmarks of the tree against BASE (default HEAD), by benchstat
	$(TIMED) bench-compare scripts/bench-compare.sh $(BASE)

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (default 20s)
	$(TIMED) fuzz scripts/fuzz.sh $(FUZZTIME)

.PHONY: generate
generate: tools ## regenerate the .pb.go files
	$(TIMED) generate scripts/generate.sh

.PHONY: clean
clean: ## remove what was built and all local data (not .tools)
	$(TIMED) clean rm -rf bin .data taskraft-dev
