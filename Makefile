# make app    makes the environment, installs, serves
# make test   lint, types, security and every test, the browser's included
# make audit  known vulnerabilities of what deploy/ installs, where there is a network

PYTHON ?= python3
ADDRESS ?= localhost
PORT ?=
BIN := .venv/bin

# Where there is a desktop, Streamlit opens the address by itself.
DESKTOP := $(or $(DISPLAY),$(WAYLAND_DISPLAY),$(filter Darwin,$(shell uname -s)))
HEADLESS := $(if $(DESKTOP),false,true)

.PHONY: app test audit clean

# Few heaps: GNU's C library would give the thread of each session one of its own to keep.
app: .venv/.app
	@MALLOC_ARENA_MAX=2 $(BIN)/streamlit run app.py --server.address $(ADDRESS) --server.headless $(HEADLESS) \
		$(if $(PORT),--server.port $(PORT))

test: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --recursive --skip B101 app.py pages diffusion_core examples
	$(BIN)/pytest
	@sh tools/audit.sh

audit: .venv/.dev
	@sh tools/audit.sh

clean:
	rm -rf .venv

# The stamps are newer than the requirements they stand for, so a second start installs nothing.
.venv/.app: requirements.txt tools/install.sh
	@PYTHON="$(PYTHON)" sh tools/install.sh requirements.txt
	@touch $@

.venv/.dev: requirements.txt requirements-dev.txt tools/install.sh
	@PYTHON="$(PYTHON)" sh tools/install.sh requirements-dev.txt
	@touch .venv/.app $@
