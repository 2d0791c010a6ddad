# Two commands to know: `make up` and `make test`. `make help` lists the rest.

SHELL := /bin/bash
BIN   := bin
GO    := go
NAME  ?= miniorch
NODES ?= 2
FUZZTIME ?= 5s
# Static binaries run in any namespace. The same settings for build and test: each package
# is compiled once.
export CGO_ENABLED := 0
export GOFLAGS     := $(GOFLAGS) -trimpath
BUILD := $(GO) build -ldflags='-s -w'

.DEFAULT_GOAL := help
.PHONY: help deps build up demo down test race unified fuzz lint bench images clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

deps: ## install the OS packages that are missing (containerd, iptables, busybox, …)
	@deploy/deps.sh

build: ## build bin/miniorch-master, bin/miniorch-node, bin/miniorchctl
	@mkdir -p $(BIN)
	@for program in miniorch-master miniorch-node miniorchctl; do \
	  echo "building $(BIN)/$$program" && $(BUILD) -o $(BIN)/$$program ./cmd/$$program || exit 1; done

images: ## build the project's own container images into bin/images
	@mkdir -p $(BIN)
	@$(BUILD) -o $(BIN)/demo ./deploy/images/demo
	@$(GO) run ./deploy/images/build -demo $(BIN)/demo -o $(BIN)/images

up: deps build images ## start 1 master + 2 nodes on this machine and run the demo
	@$(BIN)/miniorchctl cluster up --name $(NAME) --nodes $(NODES) --image-dir $(BIN)/images
	@deploy/demo.sh $(BIN)/miniorchctl $(NAME)

down: ## remove everything that `make up` created (KEEP_DATA=1 keeps the data)
	@test -x $(BIN)/miniorchctl || $(MAKE) --no-print-directory build
	@$(BIN)/miniorchctl cluster down --name $(NAME) $(if $(KEEP_DATA),--keep-data)

test: deps build images ## every test: unit, integration, end to end (as root)
	$(GO) test -timeout 15m $$($(GO) list ./... | grep -v /test/e2e)
	cd test/clients && $(GO) test -mod=mod -timeout 15m ./...
	$(GO) test -timeout 15m -count 1 ./test/e2e

fuzz: ## every fuzz target for FUZZTIME (5s) each; `make test` runs their seeds
	@out=$$(mktemp); trap 'rm -f $$out' EXIT; \
	grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read dir; do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p' $$dir/*_test.go); do \
	    echo "$$dir $$target" && $(GO) test $$dir -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) > $$out 2>&1 || { cat $$out; exit 1; }; \
	  done; done

race: deps images ## every test under the race detector, one package at a time (as root; takes long)
	@mkdir -p $(BIN)/race && ln -sfn ../images ../demo $(BIN)/race/
	@for program in miniorch-master miniorch-node miniorchctl; do \
	  echo "building $(BIN)/race/$$program" && CGO_ENABLED=1 $(GO) build -race -o $(BIN)/race/$$program ./cmd/$$program || exit 1; done
	CGO_ENABLED=1 $(GO) test -race -p 1 -timeout 60m $$($(GO) list ./... | grep -v /test/e2e)
	cd test/clients && CGO_ENABLED=1 $(GO) test -race -mod=mod -timeout 60m ./...
	$(GO) test -timeout 60m -count 1 ./test/e2e -bin $(abspath $(BIN)/race)

unified: build images ## what depends on cgroup v2, on a virtual machine that has nothing else (as root)
	@BIN=$(abspath $(BIN)) test/unified/run.sh

lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	$(GO) vet ./... && cd test/clients && $(GO) vet -mod=mod ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck ./...

bench: deps build images ## the numbers in the README, measured on this machine
	@$(GO) run ./test/bench -bin $(BIN)
	@echo "GET and LIST of 500, 5,000 and 50,000 pods, without a network, with allocations:"
	@$(GO) test -run '^$$' -bench Reads -benchtime 10x ./apiserver

clean: ## remove what was built
	rm -rf $(BIN)
