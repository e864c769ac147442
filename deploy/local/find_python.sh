#!/bin/sh
# Prints the first Python that can serve: CPython 3.11 or 3.12 with venv and its shared library, which the
# stub of Triton's Python backend loads. Says what is missing if there is none.
check='
import sys, sysconfig, os, venv, ensurepip
name = sysconfig.get_config_var("INSTSONAME") or ""
places = [sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LIBPL")]
places.append("/usr/lib/" + (sysconfig.get_config_var("MULTIARCH") or ""))
fits = (3, 11) <= sys.version_info[:2] <= (3, 12) and sys.implementation.name == "cpython"
shared = ".so" in name and any(os.path.exists(os.path.join(p, name)) for p in places if p)
sys.exit(0 if fits and shared else 1)
'
for python in ${PYTHON:-} python3 python3.11 python3.12; do
    path=$(command -v "$python" 2>/dev/null) || continue
    if "$path" -c "$check" 2>/dev/null; then
        echo "$path"
        exit 0
    fi
done
echo "No Python here can serve. Needed: CPython 3.11 or 3.12 with venv and its shared library." >&2
echo "On Debian or Ubuntu: apt-get install python3-venv libpython3-dev. Or name one: make PYTHON=/path/to/python" >&2
exit 1
