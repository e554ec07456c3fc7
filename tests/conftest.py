"""One thread: on busy cores two of them wait for each other far longer than they compute."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for commands run as processes
