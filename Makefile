# One way to do each thing. `make help` lists the targets; .ci/run runs `check`, `test` and `e2e`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO        ?= go
GOTEST    ?= $(GO) test
TOOL      := $(GO) tool -modfile=tools/go.mod
FUZZTIME  ?= 2m
FUZZJOBS  ?= 2
BENCH     ?= .
BENCHTIME ?= 1s
BENCHRUNS ?= 1
RESULTS   ?= bench/results
BENCHFLAGS ?=
SOAKFLAGS ?=
DEMOFLAGS ?=
BIN       := bin/trellis
# The Consul agent of the tests is built once for each version and machine, outside the checkout.
CONSUL    ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/trellis/consul-$(shell sed -n 's|.*github.com/hashicorp/consul v||p' tools/consul/go.mod)
# So is livekit-server, which the comparisons know as the peer "livekit", with its SDK for browsers.
LIVEKIT   ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/trellis/livekit-$(shell sed -n 's|.*github.com/livekit/livekit-server v\([^ ]*\).*|\1|p' tools/livekit/go.mod)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- build and run ----

.PHONY: build
build: ## build bin/trellis
	$(GO) build -trimpath -o $(BIN) ./cmd/trellis

.PHONY: demo
demo: build ## three regions on loopback, a publisher and a page; Ctrl-C ends it (DEMOFLAGS="--no-wan")
	exec $(BIN) demo $(DEMOFLAGS)

.PHONY: web
web: web/node_modules/.package-lock.json ## build the demo page into web/dist
	cd web && npm run --silent build

web/node_modules/.package-lock.json: web/package.json web/package-lock.json web/.npmrc
	cd web && npm ci --ignore-scripts
	@touch $@

# ---- tests ----

.PHONY: test
test: ## every Go test; no network, no root, under three minutes
	$(GOTEST) -timeout 170s ./...

.PHONY: race
race: ## the same tests under the race detector
	$(GOTEST) -race -timeout 20m ./...

.PHONY: e2e
e2e: e2e-rolling e2e-consul e2e-browser e2e-firefox e2e-soak ## what needs real processes, agents and browsers

.PHONY: e2e-rolling
e2e-rolling: build ## six nodes restarted one after the other under viewers; a second signal
	TRELLIS=$(CURDIR)/$(BIN) $(GOTEST) -tags e2e -count=1 -timeout 10m -v ./e2e/rolling
	@echo 'e2e-rolling: all scenarios passed'

.PHONY: e2e-consul
e2e-consul: build consul-agent ## nodes that find each other in real Consul agents, which are then killed
	TRELLIS=$(CURDIR)/$(BIN) CONSUL=$(CONSUL) $(GOTEST) -tags e2e -count=1 -timeout 10m -v ./e2e/consul
	$(GOTEST) -tags e2e -count=1 -timeout 30m -v -run '^TestConsulGoneForADay$$' ./internal/sim
	@echo 'e2e-consul: all scenarios passed with $(CONSUL)'

.PHONY: consul-agent
consul-agent: $(CONSUL) ## build the Consul agent of the tests (tools/consul; four minutes of processor time when cold)

# No `go mod tidy` for this module: packages that only Consul's own tests need cannot be had.
$(CONSUL): tools/consul/go.mod tools/consul/go.sum tools/consul/tools.go
	@mkdir -p '$(@D)'
	cd tools/consul && $(GO) build -o '$@.new' github.com/hashicorp/consul
	mv '$@.new' '$@'

.PHONY: livekit-server
livekit-server: $(LIVEKIT)/livekit-server $(LIVEKIT)/livekit-client.js ## build the server to compare with (tools/livekit; minutes of processor time when cold)

# No `go mod tidy` for this module: what only the server's own tests need is not needed here.
$(LIVEKIT)/livekit-server: tools/livekit/go.mod tools/livekit/go.sum tools/livekit/tools.go
	@mkdir -p '$(@D)'
	cd tools/livekit && $(GO) build -o '$@.new' github.com/livekit/livekit-server/cmd/server
	mv '$@.new' '$@'

$(LIVEKIT)/livekit-client.js: tools/livekit/package.json tools/livekit/package-lock.json tools/livekit/.npmrc
	@mkdir -p '$(@D)'
	cd tools/livekit && npm ci --ignore-scripts
	install -m 644 tools/livekit/node_modules/livekit-client/dist/livekit-client.umd.js '$@'

.PHONY: e2e-livekit
e2e-livekit: livekit-server ## our viewers at a real livekit-server
	TRELLIS_LIVEKIT='$(LIVEKIT)' $(GOTEST) -tags e2e -count=1 -timeout 5m -v -run LiveKit ./internal/fanout
	@echo 'e2e-livekit: all scenarios passed with $(LIVEKIT)'

.PHONY: e2e-browser
e2e-browser: build e2e/node_modules/.package-lock.json ## real Chromium against a real `trellis demo`
	@command -v "$${CHROMIUM:-chromium}" >/dev/null || { echo 'make e2e: no chromium; install it with: apt-get install chromium' >&2; exit 1; }
	cd e2e && npm run --silent build && TRELLIS=$(CURDIR)/$(BIN) npm test --silent

.PHONY: e2e-firefox
e2e-firefox: build e2e/node_modules/.package-lock.json ## real Firefox, and Chromium, in a network of their own
	@command -v "$${FIREFOX:-firefox-esr}" >/dev/null || { echo 'make e2e: no Firefox; install it with: apt-get install firefox-esr' >&2; exit 1; }
	@command -v ip >/dev/null || { echo 'make e2e: no ip, which lays the network; install it with: apt-get install iproute2' >&2; exit 1; }
	cd e2e && npm run --silent build && TRELLIS=$(CURDIR)/$(BIN) npm run --silent test:firefox

.PHONY: e2e-soak
e2e-soak: ## a node and its clients for a minute: nothing is left, nothing is missing
	$(GOTEST) -tags e2e -count=1 -timeout 5m -v -run '^TestSoak$$' ./internal/fanout

e2e/node_modules/.package-lock.json: e2e/package.json e2e/package-lock.json e2e/.npmrc
	cd e2e && npm ci --ignore-scripts
	@touch $@

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (2m), FUZZJOBS (2) at once
	@tools/fuzz.sh $(FUZZTIME) $(FUZZJOBS)

.PHONY: bench
bench: ## what relay, hop and viewer cost, kept in bench/results (BENCHFLAGS="-run hop -rounds 9")
	$(GO) run ./bench -out '$(RESULTS)' $(BENCHFLAGS)

.PHONY: bench-fanout
bench-fanout: ## what a WebRTC viewer costs beside plain pion, kept in bench/results (FANOUTFLAGS="--viewers 500")
	$(GO) run ./cmd/trellis-bench fanout --out '$(RESULTS)' $(FANOUTFLAGS)

.PHONY: bench-fanout-check
bench-fanout-check: ## the same, against the recorded ratios to plain pion: fails if one is smaller by more than a fifth
	$(GO) run ./cmd/trellis-bench fanout --viewers 100 --rounds 5 --seconds 3 --check '$(RESULTS)/fanout-baseline.json' $(FANOUTFLAGS)

.PHONY: bench-soak
bench-soak: ## a node and its clients for an hour, kept in bench/results (SOAKFLAGS="--minutes 10 --viewers 40")
	$(GO) run ./cmd/trellis-bench soak --out '$(RESULTS)' $(SOAKFLAGS)

.PHONY: micro
micro: ## the Go benchmarks beside the code, kept in bench/results (BENCH=regexp BENCHRUNS=10 for benchstat)
	@tools/bench.sh '$(BENCH)' '$(BENCHTIME)' '$(BENCHRUNS)' '$(RESULTS)'

# ---- checks ----

.PHONY: check
check: fmt-check lint arch tidy-check web-check ## formatting, lint, import rules, tidy modules, web assets
	@echo 'check: all of fmt-check lint arch tidy-check web-check passed'

.PHONY: fmt
fmt: ## format the Go files (gofumpt, imports grouped)
	$(TOOL) golangci-lint fmt

.PHONY: fmt-check
fmt-check:
	$(TOOL) golangci-lint fmt --diff

.PHONY: lint
lint: ## golangci-lint, built from tools/go.mod
	$(TOOL) golangci-lint run --allow-parallel-runners ./...

.PHONY: lint-test
lint-test: ## show that the linter still catches each deliberate violation
	@tools/lint-violations.sh

.PHONY: arch
arch: ## import rules, and what no file may hold
	$(GOTEST) -count=1 ./internal/arch

.PHONY: tidy
tidy: ## make go.mod and go.sum exact
	$(GO) mod tidy
	cd tools && $(GO) mod tidy

.PHONY: tidy-check
tidy-check:
	$(GO) mod tidy -diff
	cd tools && $(GO) mod tidy -diff

.PHONY: web-check
web-check: web/node_modules/.package-lock.json
	cd web && npm run --silent check

.PHONY: vuln
vuln: ## known vulnerabilities in what we call (GOVULNDB names another database)
	$(TOOL) govulncheck $${GOVULNDB:+-db "$$GOVULNDB"} ./...

.PHONY: clean
clean: ## remove what the other targets built
	rm -rf bin web/node_modules e2e/node_modules e2e/build tools/livekit/node_modules
