#!/bin/sh
# Installs the judges of region files: CIAO's own region library (inside sherpa, built from source in about a minute)
# into the Python given, and SAOImage DS9 with a display of its own. Run as root.   usage: install.sh PYTHON
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq bison flex byacc gfortran g++ libfftw3-dev pkg-config saods9 xvfb xpa-tools
"${1:-python3}" -m pip install --quiet sherpa
