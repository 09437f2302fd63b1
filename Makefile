# Everything is built below .build and, for the demonstration, .demo; both can be deleted at any time.

# Relative, for make divides absolute paths at their blanks.
BUILD := .build
BIN   := $(BUILD)/bin
FUZZTIME ?= 10s
SHELL := bash
CHAOS ?= 100000
STATICCHECK := v0.8.2
GRPCURL := v1.9.3
GOVULNCHECK := v1.9.0
NFPM := v2.43.4
HELM := v3.19.2
LIBRARY := ./canon/... ./gost/... ./signer/...
# Packages whose tests hold vectors against the code.
JUDGING := ./gost/... ./canon ./signer/xmldsig ./signer/cms ./signer/trust ./signer/explain
OUTCOMES := $(CURDIR)/$(BUILD)/outcomes
UPSET := $(CURDIR)/$(BUILD)/runs
BENCHES := gost canon signer hsm service peers
CONCURRENT := ./hsm/... ./signer ./signer/audit/... ./api/... ./internal/daemon/... ./internal/chaos ./cmd/...

# Go keeps its caches below it; services and containers may lack it.
ifndef HOME
export HOME := $(shell getent passwd $$(id -u) | cut -d: -f6)
endif

.DEFAULT_GOAL := build
.PHONY: help vulncheck licences release reproducible build deps tools softhsm softhsm-stock chaos reliability demo run test unit vectors conformance conformance-check race library arm64 vet lint fuzz bench bench-gost bench-canon bench-signer bench-hsm bench-service bench-peers bench-go bench-check load load-check proto proto-check clean

help: ## this list
	@sed -n 's/^\([a-z][a-z0-9-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

build: ## epov and epovd
	go build -o $(BIN)/ ./cmd/epov ./cmd/epovd

deps: ## Debian packages: installs what is missing, or says with which command to
	@command -v go >/dev/null || { echo "Go is missing; any from 1.21 on fetches the version that go.mod names" >&2; exit 1; }
	@deploy/packages.sh

tools: $(BIN)/grpcurl-$(GRPCURL) ## the same for what only the further checks need
	@deploy/packages.sh checks

softhsm: deps ## the test token: SoftHSM with GOST R 34.10-2012, and the module that injects faults
	@softhsm/build.sh

softhsm-stock: deps ## the same without our patches, which tests and benchmarks compare with
	@SOFTHSM_STOCK=1 softhsm/build.sh

chaos: softhsm ## CHAOS signatures while everything happens to the tokens that can happen; SEED repeats a schedule
	@go run ./internal/chaos -n $(CHAOS) $(if $(SEED),-seed $(SEED)) $(CHAOSFLAGS)

reliability: softhsm ## docs/reliability.md: CHAOS signatures while tokens fail, and three nodes of which one is killed; SEED repeats
	@mkdir -p $(BUILD) && rm -f "$(UPSET)"
	@failed=; go run ./internal/chaos -n $(CHAOS) $(if $(SEED),-seed $(SEED)) $(CHAOSFLAGS) -json "$(UPSET)" || failed=1; \
	EPOV_REQUIRE=1 EPOV_RELIABILITY="$(UPSET)" go test -count=1 -run '^TestThreeNodes' ./internal/nodes || failed=1; \
	go run ./internal/reliability "$(UPSET)" docs/reliability.md && test -z "$$failed"

demo: softhsm build ## sign one message of each kind on a token, verify with OpenSSL
	@deploy/demo/demo.sh

run: softhsm build ## leave the daemon running with the demonstration's configuration
	@deploy/demo/demo.sh run

test: softhsm softhsm-stock vectors ## all tests, with the real token; nothing may be missing
	EPOV_REQUIRE=1 $(if $(NOTED),EPOV_CONFORMANCE="$(OUTCOMES)") go test $(if $(NOTED),-count=1) ./...

unit: vectors ## tests that need neither token nor tools; the others skip, and say so with go test -v
	go test ./...

vectors: # go test does not tell of what it skips
	@test -d "$${EPOV_VECTORS:-../shared/vectors}" || \
		echo "The vectors of others are absent (EPOV_VECTORS names their folder): the tests that need them are skipped."

conformance: softhsm vectors ## docs/conformance.md: every vector by its outcome, as the tests say
	@mkdir -p $(BUILD) && rm -f $(OUTCOMES)
	EPOV_REQUIRE=1 EPOV_CONFORMANCE="$(OUTCOMES)" go test -count=1 $(JUDGING)
	go run ./internal/conformance "$(OUTCOMES)" docs/conformance.md

conformance-check: ## fails when docs/conformance.md is not what make test NOTED=1 has noted
	@if test -d "$${EPOV_VECTORS:-../shared/vectors}"; then go run ./internal/conformance -check "$(OUTCOMES)" docs/conformance.md; \
	else echo "docs/conformance.md is not compared: the vectors of others are absent."; fi

race: softhsm softhsm-stock ## the race detector on the packages that use goroutines
	EPOV_REQUIRE=1 go test -race -short $(CONCURRENT)

library: ## the library part without cgo
	CGO_ENABLED=0 go test -short $(LIBRARY)

arm64: tools ## the library part for linux/arm64, run under emulation
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go vet $(LIBRARY)
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go test -short -exec qemu-aarch64-static $(LIBRARY)
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go test -exec qemu-aarch64-static -run 'Denying|Allowing' ./internal/sandbox

vet: ## go vet, and gofmt
	go vet ./...
	@unformatted=$$(gofmt -l $$(git ls-files '*.go' | grep -v '\.pb\.go$$')); \
	if [ -n "$$unformatted" ]; then echo "not gofmt'ed: $$unformatted"; exit 1; fi

lint: tools $(BIN)/staticcheck-$(STATICCHECK) ## staticcheck and shellcheck
	$(BIN)/staticcheck-$(STATICCHECK) ./...
	shellcheck $$(git ls-files '*.sh' .ci)

$(BIN)/staticcheck-$(STATICCHECK):
	GOBIN="$(CURDIR)/$(BIN)" go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK)
	mv $(BIN)/staticcheck $@

vulncheck: $(BIN)/govulncheck-$(GOVULNCHECK) ## what the programs call, in the Go vulnerability database; GOVULNDB names another address of it
	@.ci/vulncheck $<

licences: $(BIN)/staticcheck-$(STATICCHECK) $(BIN)/govulncheck-$(GOVULNCHECK) ## of all modules, those of tools too, and docs/dependencies.md about them
	@go run ./internal/supply licences docs/dependencies.md $^ $(wildcard $(BIN)/nfpm-* $(BIN)/helm-* $(BIN)/protoc-gen-go*)

$(BIN)/govulncheck-$(GOVULNCHECK):
	GOBIN="$(CURDIR)/$(BIN)" go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK)
	mv $(BIN)/govulncheck $@

release: ## programs for amd64 and arm64, lists of their parts, checksums: into .build/release; VERSION says which
	@deploy/packages.sh release
	@deploy/release.sh $(BUILD)/release

reproducible: ## builds a release twice in different folders and compares octet by octet
	@deploy/packages.sh release
	@.ci/reproducible

$(BIN)/grpcurl-$(GRPCURL):
	GOBIN="$(CURDIR)/$(BIN)" go install github.com/fullstorydev/grpcurl/cmd/grpcurl@$(GRPCURL)
	ln -sf grpcurl $@

fuzz: ## every fuzz target for FUZZTIME
	@.ci/fuzz $(FUZZTIME)

bench: $(BENCHES:%=bench-%) ## hot paths side by side with their peers, as ratios: bench/ratios.txt, docs/performance.md and its charts
	@mkdir -p bench
	grep -h '^ratio ' $(BENCHES:%=$(BUILD)/ratios-%.txt) > bench/ratios.txt
	go run ./internal/bench/figures write bench/ratios.txt docs/performance.md

bench-go: softhsm softhsm-stock ## every benchmark of go test
	go test -run '^$$' -bench . ./...

bench-check: softhsm build $(BIN)/peer $(BIN)/tokenloop ## a short form of it, half a minute; fails when a figure stays far below that of bench/ratios.txt
	@.ci/ratios "$(BIN)" $(BUILD)/ratios.txt

bench-gost bench-canon bench-signer: bench-%: $(BIN)/peer $(BIN)/goxmldsig
	@set -o pipefail; { go run ./internal/bench "$(BIN)" $*; \
	[ $* != gost ] || go run -tags purego ./internal/bench "$(BIN)" gost; } | tee $(BUILD)/ratios-$*.txt

bench-hsm: softhsm softhsm-stock $(BIN)/tokenloop ## what stands around a token: its cost, throughput, overload, recovery
	@set -o pipefail; go run ./internal/bench "$(BIN)" hsm | tee $(BUILD)/ratios-hsm.txt

bench-service: softhsm build $(BIN)/tokenloop ## the daemon as users run it: beside an echo, a token and published figures; .build/service-report has charts
	@set -o pipefail; go run ./internal/bench "$(BIN)" service | tee $(BUILD)/ratios-service.txt

load: softhsm build $(BIN)/tokenloop ## the whole daemon on a token: docs/load.md with throughput, knee, stages, and a soak of SOAK (3m) that must stay flat
	go run ./internal/bench/load measure $(if $(SOAK),-soak $(SOAK)) "$(BIN)" bench/load.json; measured=$$?; \
	go run ./internal/bench/load write bench/load.json docs/load.md && exit $$measured

load-check: softhsm build $(BIN)/tokenloop ## a short form of it, a minute and no page
	@go run ./internal/bench/load measure -short "$(BIN)" $(BUILD)/load.json
	@go run ./internal/bench/load write $(BUILD)/load.json $(BUILD)/load.md

$(BIN)/tokenloop: internal/bench/peer/tokenloop.c softhsm/fault/pkcs11.h
	@mkdir -p $(BIN)
	$(CC) -O2 -Wall -o $@ $< -ldl -lpthread

bench-peers: ## beside Botan, Bouncy Castle and Apache Santuario, where Debian's packages of them are installed
	@mkdir -p $(BIN); rm -f $(BIN)/botan; ! pkg-config --exists botan-2 || \
		$(CXX) -O2 -std=c++14 -o $(BIN)/botan internal/bench/peer/botan.cpp $$(pkg-config --cflags --libs botan-2)
	@set -o pipefail; go run ./internal/bench "$(BIN)" peers | tee $(BUILD)/ratios-peers.txt

$(BIN)/goxmldsig: $(wildcard internal/bench/goxmldsig/*)
	go build -C internal/bench/goxmldsig -o "$(CURDIR)/$@" .

$(BIN)/peer: $(wildcard internal/bench/peer/*) | tools
	@mkdir -p $(BIN)
	$(CC) -O2 -Wno-deprecated-declarations -o $@ $(filter-out %tokenloop.c,$(filter %.c,$^)) $$(pkg-config --cflags --libs libxml-2.0) -lcrypto

proto: tools ## regenerate the gRPC code
	@api/epovpb/generate.sh

proto-check: tools ## fails when the committed gRPC code is not current
	@api/epovpb/generate.sh --check

.PHONY: packages package-test package-arch-test image-test helm-test
packages: $(BIN)/nfpm-$(NFPM) ## deb and rpm, into .build/dist; VERSION and MAINTAINER say whose, ARCH="amd64 arm64" for what machines
	@$(if $(ARCH),deploy/packages.sh release &&) deploy/package/build.sh $<

package-arch-test: $(BIN)/nfpm-$(NFPM) ## holds the packages for amd64 and arm64 against each other, runs their programs, under emulation too
	@deploy/packages.sh packages
	@deploy/package/arch-test.sh $<

package-test: packages softhsm ## installs the packages in clean systems, boots one, does there what the handbook says; upgrades, removes. For root
	@deploy/packages.sh packages
	@deploy/package/test.sh $(BIN)/nfpm-$(NFPM)
	@deploy/package/machine-test.sh $(BIN)/nfpm-$(NFPM)

image-test: package-test ## builds the container image from the package, without a network, and looks into it. For root
	@deploy/package/image-test.sh

helm-test: $(BIN)/helm-$(HELM) ## renders and lints the chart; building helm takes minutes the first time
	go test ./deploy -run Chart -count=1

$(BIN)/nfpm-$(NFPM):
	GOBIN="$(CURDIR)/$(BIN)" go install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM)
	mv $(BIN)/nfpm $@

$(BIN)/helm-$(HELM):
	GOBIN="$(CURDIR)/$(BIN)" go install helm.sh/helm/v3/cmd/helm@$(HELM)
	mv $(BIN)/helm $@

clean: ## removes .build and .demo
	rm -rf $(BUILD) .demo
