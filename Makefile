# Everything a person does with this checkout. `make` alone lists the targets; each installs what it lacks.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CONFIG ?=
NODES ?= 1
STANDIN ?= yes
# Most tests wait for clocks more than for processors; each file stays in one process.
TEST_PROCESSES ?= 2
TLS ?=
SECONDS ?= 600
MINUTES ?= 5
SEED ?=
REDIS ?=
VALKEY ?=
# The oldest release that knows that there may be newer records.
FROM ?= 07cfb6b
TESTS ?=
HOURS ?=
RATE ?=
RECEIVERS ?=
USERS ?= 1000000
# Advisories in the OSV format, a zip or a folder.
ADVISORIES ?=

# Kamailio's interpreter is the distribution's: libraries built for another Python do not load in it.
PYTHON := /usr/bin/python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
PACKAGES := kamailio kamailio-python3-modules kamailio-tls-modules sip-tester redis-server python3-venv time \
  kamailio-ims-modules kamailio-presence-modules
# The other sides of ratios, for `make bench` alone; none of them starts a service.
BENCH_PACKAGES := mariadb-server-core mariadb-client-core kamailio-mysql-modules
# The browser that tests of the console look through, for `make test` alone.
BROWSER_PACKAGES := chromium
# What `make chaos` steps clocks with and, as root, loses packets with.
CHAOS_PACKAGES := gcc libc6-dev iproute2 nftables
# For `make test-package` alone: a Debian in a folder, and systemd in it.
PACKAGE_TEST_PACKAGES := debootstrap systemd-container lintian
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

export PATH := $(BIN):$(PATH)
# What was compiled is kept: the same code starts in many processes.
unexport PYTHONDONTWRITEBYTECODE

# Every target with a line of help: none is a file.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' Makefile)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

deps: $(VENV)/.packages $(VENV)/.libraries ## install what is missing: Debian packages, Python libraries in .venv

demo: deps ## start everything on free loopback ports, deliver pushes, show the outcome
	@echo "demo: a content provider, omapush, a stand-in S-CSCF and a push receiver, all on this machine"
	@python -m demo.deliver

run: deps ## the same stack, stays up; CONFIG=FILE runs yours, TLS=1 speaks TLS, NODES=2 nodes, STANDIN=no: no S-CSCF and handset
	@python -m demo.stack run --nodes $(NODES) $(if $(TLS),--tls) $(if $(CONFIG),--config $(CONFIG)) $(if $(filter no,$(STANDIN)),--no-standin) || [ $$? = 130 ]

test: deps $(VENV)/.browser $(VENV)/.docs-libraries ## prove everything: units, store, wire, browser
	@echo "test: pytest over tests/, in $(TEST_PROCESSES) processes"
	@python -m pytest -n $(TEST_PROCESSES) --dist loadfile || { [ $$? = 1 ] && $(MAKE) test-alone; }

test-alone: deps ## try once more, one after the other, what failed in the last `make test`
	@echo "test-alone: what failed beside other tests has to pass alone"
	@python -m pytest --last-failed --last-failed-no-failures none

test-valkey: deps ## the store's tests and some on the wire with Valkey; VALKEY=FILE for a server of yours
	@echo "test-valkey: Valkey where Redis is meant"
	@python -m tests.on_valkey $(if $(VALKEY),--server $(VALKEY)) $(TESTS)

test-long: deps $(VENV)/.browser $(VENV)/.chaos-packages ## prove what is left out of `make test`: chaos, a Cluster's failover, each page of the console
	@echo "test-long: what is marked long"
	@python -m pytest -m long

pictures: deps $(VENV)/.browser ## what each page of the console looks like, by day, by night, on a phone: build/screenshots
	@echo "pictures: the tests of the console, with pictures"
	@OMAPUSH_PICTURES=1 python -m pytest tests/browser -m "long or not long"

test-upgrade: deps ## a node of FROM=commit and one of this checkout under load; one is replaced, then the other way round
	@echo "test-upgrade: from $(FROM) to this checkout, and back"
	@OMAPUSH_UPGRADE_FROM=$(FROM) python -m pytest tests/upgrade/two_releases.py

test-package: deps $(VENV)/.package-test-packages ## install the Debian package in a machine of its own, use, upgrade, purge it; root
	@echo "test-package: a Debian 12 in a folder, booted by systemd-nspawn without a network"
	@python -m pytest tests/package/in_a_machine.py

check: deps ## style and types: ruff, mypy --strict
	@echo "check: ruff, then mypy --strict"
	@ruff check .
	@mypy

audit: $(VENV)/.packages ## known vulnerabilities of the libraries: asks the package index; without a network ADVISORIES=all.zip
ifneq ($(ADVISORIES),)
	@echo "audit: what is pinned in requirements-dev.txt against the advisories in $(ADVISORIES)"
	@python -m deploy.advisories "$(ADVISORIES)" requirements-dev.txt
else
	@echo "audit: what is pinned in requirements-dev.txt against published vulnerabilities"
	@[ -x build/audit/bin/pip-audit ] || { $(PYTHON) -m venv build/audit \
	  && build/audit/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-audit.txt; }
	@rm -f build/audit/found
	@build/audit/bin/pip-audit --strict --progress-spinner off --disable-pip --require-hashes -o build/audit/found \
	  -r requirements-dev.txt && exit; if [ -s build/audit/found ]; then cat build/audit/found; exit 1; fi; python -m deploy.advisories
endif

bench: deps $(VENV)/.bench-packages ## measure, print figures and ratios, write bench/results, bench/latest.json and a page with plots
	@echo "bench: figures and what they are compared with, measured in one run"
	@measured=0; python -m bench || measured=$$?; python -m bench.page --no-documents; exit $$measured

bench-page: deps ## plots of all runs of the bench in build/bench/index.html, and the table in docs/performance.md
	@python -m bench.page

bench-million: deps ## what USERS=1000000 cost and do to the rest: memory, rates, restarts, their end at one moment
	@echo "bench-million: $(USERS) users in Redis"
	@OMAPUSH_BENCH_USERS=$(USERS) python -m bench --rounds 1 --only million_users --only million_dialogs --only million

fuzz: deps $(VENV)/.fuzz-libraries ## try to break every parser for SECONDS=600 in all; TARGETS="sdp pap" for some
	@echo "fuzz: $(SECONDS) seconds over $(or $(TARGETS),all targets)"
	@python -m fuzz --seconds $(SECONDS) $(TARGETS)

chaos: deps $(VENV)/.chaos-packages ## strike a stack under load for MINUTES=5, then prove that nothing is missing; SEED=n repeats a run, REDIS=sentinel|cluster
	@python -m chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(REDIS),--redis $(REDIS))

soak: deps ## half load for HOURS=n (or MINUTES=60), then prove that nothing grows or is missing; RECEIVERS=n, RATE=n
	@python -m soak --minutes $(if $(HOURS),$$(awk 'BEGIN { print 60 * $(HOURS) }'),$(if $(filter command line,$(origin MINUTES)),$(MINUTES),60)) $(if $(RECEIVERS),--receivers $(RECEIVERS)) $(if $(RATE),--rate $(RATE))

lab: deps ## the push story through a real IMS core: Kamailio as S-CSCF, an HSS behind it, devices with digest and AKA
	@echo "lab: S-CSCF, HSS, omapush as its application server, two devices, all on this machine"
	@python -m lab.story

conformance: deps $(VENV)/.browser ## run the tests, then list every requirement with its tests and result
	@echo "conformance: pytest, then requirement -> tests -> result"
	@mkdir -p build
	@python -m pytest -q -n $(TEST_PROCESSES) --dist loadfile || echo "conformance: some tests failed; the table shows which requirements they prove"
	@python -m tests.conformance

doctor: deps ## what is wrong on this machine, what follows from it, what to do
	@omapush $(if $(CONFIG),--config $(CONFIG)) doctor

config-check: deps ## check the configuration without starting anything
	@omapush $(if $(CONFIG),--config $(CONFIG)) config check

stubs: deps ## write stubs/KSR.pyi from the installed Kamailio
	@echo "stubs: asking Kamailio for its KEMI functions"
	@python -m stubs.generate

deb: deps ## build the Debian package into build/; VERSION=1.2.3 for another than that of pyproject.toml
	@echo "deb: the code, and the libraries of requirements.txt for $(PYTHON)"
	@python -m deploy.package $(if $(VERSION),--version $(VERSION))

docs: $(VENV)/.docs-libraries ## build the documents as a site into build/site, readable without a network
	@echo "docs: pages of docs/ and schema/, every link checked"
	@python -m deploy.site

clean: ## remove the virtual environment, caches and var/, the state of make run
	rm -rf $(VENV) build var .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.packages: WANTED := $(PACKAGES)
$(VENV)/.bench-packages: WANTED := $(BENCH_PACKAGES)
$(VENV)/.browser-packages: WANTED := $(BROWSER_PACKAGES)
$(VENV)/.package-test-packages: WANTED := $(PACKAGE_TEST_PACKAGES)
$(VENV)/.chaos-packages: WANTED := $(CHAOS_PACKAGES)
$(VENV)/.packages $(VENV)/.bench-packages $(VENV)/.browser-packages $(VENV)/.package-test-packages $(VENV)/.chaos-packages: Makefile
	@missing=""; \
	for package in $(WANTED); do \
	  [ "$$(dpkg-query -Wf '$${db:Status-Abbrev}' $$package 2>/dev/null)" = "ii " ] || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
	  echo "deps: installing$$missing"; \
	  $(SUDO) apt-get update -qq; \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	fi
	@mkdir -p $(VENV) && touch $@

$(VENV)/.libraries: requirements-dev.txt $(VENV)/.packages
	@echo "deps: Python libraries into $(VENV)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@# The command runs from the checkout, so that there is no second copy of the code.
	@echo "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/omapush.pth"
	@printf '#!%s\nfrom omapush.cli.main import main\n\nmain()\n' $(BIN)/python > $(BIN)/omapush
	@chmod +x $(BIN)/omapush
	@touch $@

# In an environment of its own: it pins other versions of what we run with.
$(VENV)/.docs-libraries: requirements-docs.txt $(VENV)/.libraries
	@echo "deps: what builds the site of documents into $(VENV)/docs"
	@[ -x $(VENV)/docs/bin/python ] || $(PYTHON) -m venv $(VENV)/docs
	@$(VENV)/docs/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-docs.txt
	@touch $@

$(VENV)/.browser: requirements-browser.txt $(VENV)/.libraries $(VENV)/.browser-packages
	@echo "deps: what drives the browser into $(VENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-browser.txt
	@touch $@

$(VENV)/.fuzz-libraries: requirements-fuzz.txt $(VENV)/.libraries
	@echo "deps: the fuzzing library into $(VENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-fuzz.txt
	@touch $@
