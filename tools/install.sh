#!/bin/sh
# Makes .venv and installs a requirements file into it: sh tools/install.sh requirements.txt
set -eu
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
cpu_wheels="https://download.pytorch.org/whl/cpu"

say() { printf '%s\n' "$*" >&2; }

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    found="$("$python" --version 2>/dev/null || echo "none, under the name $python")"
    say "This needs Python 3.11 or newer; found: $found."
    say "Install one, or name it if it has another name: make app PYTHON=python3.12"
    exit 1
fi

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "Making the environment in .venv ..."
    if ! "$python" -m venv --clear .venv; then
        say "Python could not make an environment. On Debian and Ubuntu: apt-get install python3-venv"
        exit 1
    fi
fi
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }

# On Linux the ordinary index has torch with several GB of CUDA packages. Without an NVIDIA GPU they
# are of no use, so PyTorch's own index of CPU wheels is asked first, if it answers within seconds.
torch="$(grep '^torch==' requirements.txt)"
has_torch() {
    .venv/bin/python - "${torch#torch==}" 2>/dev/null <<'PYTHON'
import sys
from importlib.metadata import version
sys.exit(version("torch").split("+")[0] != sys.argv[1])
PYTHON
}
answers() {
    .venv/bin/python - "$cpu_wheels/torch/" 2>/dev/null <<'PYTHON'
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=5).close()
PYTHON
}
if ! has_torch && [ "$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1; then
    if answers; then
        say "Installing PyTorch for the CPU ..."
        pip install --no-deps --index-url "$cpu_wheels" "$torch" ||
            say "That did not work; taking PyTorch from the ordinary index."
    else
        say "PyTorch's index of CPU wheels does not answer; taking PyTorch from the ordinary index."
    fi
fi

say "Installing what $1 names ..."
pip install --quiet -r "$1"
