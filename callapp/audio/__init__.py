"""Sound as numbers: for calls whose audio is not handed on as it came.

An assistant's call needs none of this, and a process that carries no other never imports it: numpy and
soxr take a tenth of a second and 30 MiB.
"""

import os

# Read when numpy is imported: no matrix is multiplied here, and a pool of threads would be in the way.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
