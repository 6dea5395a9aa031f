"""musicrec: a Spark batch job that turns a catalog of songs into recommendations."""

import os

__version__ = "0.1.0"

# Read when torch is loaded. Threads that wait for each other otherwise keep their cores busy: beside two other
# processes on two cores a step of training took three times as long as it does with this, alone as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Read when a GPU's matrix products are first made: without it they may be summed in another order each time.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
