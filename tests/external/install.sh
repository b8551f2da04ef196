#!/bin/sh
# Installs the programs that tests compare with: CIAO's own region library (inside sherpa, built in about a minute)
# and SAOImage DS9 with a display of its own; the browser that reads the report, and shellcheck
# for the scripts, clang with libc++ for the C++, doctest, with which the C++ tests are written,
# and valgrind, which counts instructions.
#   install.sh system          Debian's packages, and what a new machine needs to build; run as root
#   install.sh python PYTHON   sherpa, and XSPEC's library of models where it has a wheel, into the Python given
set -eu
case "${1:-}" in
system)
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq bison flex byacc g++ gfortran libfftw3-dev make pkg-config python3-venv saods9 xpa-tools xvfb \
        chromium chromium-driver shellcheck clang libc++-dev libc++abi-dev doctest-dev valgrind
    ;;
python)
    "$2" -m pip install --quiet 'sherpa==4.19.*'
    "$2" -m pip install --quiet --only-binary :all: 'xspectrampoline==0.1.*' ||
        echo "XSPEC's library of models has no wheel for this machine: its tests are skipped"
    ;;
*)
    echo "usage: install.sh system | install.sh python PYTHON" >&2
    exit 2
    ;;
esac
