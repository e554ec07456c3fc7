"""One thread for each process of tests, which share the cores; none spins while it waits."""

import os

# before torch is imported, and for commands run as processes
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
