"""``python worker.pyz [--cpus 0,1]``: answer requests on stdin until it closes. ``--keep``: see ``keep.py``."""

import os
import sys

# Before NumPy: its BLAS starts threads that busy-wait into the first timings (runtimes.md, section 3),
# and some runtimes phone home or call pip.
for name, value in {
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_NO_INDEX": "1",
    "DO_NOT_TRACK": "1",
}.items():
    os.environ.setdefault(name, value)

if __name__ == "__main__":
    if sys.argv[1:2] == ["--keep"]:  # needs no NumPy, and imports little
        from .keep import main as keep

        sys.exit(keep(sys.argv[2:]))
    from .serve import main

    sys.exit(main(sys.argv[1:]))
