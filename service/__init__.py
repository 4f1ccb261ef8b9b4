"""The HTTP side: chunks come in, predictions go out."""

import os

# Before torch loads its OpenMP: threads that spin at a barrier while another process has the core
# make two processes on two cores slower than one by a factor of ten and more (decision 0011).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
