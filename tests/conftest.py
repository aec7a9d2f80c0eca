"""Shape checks for every test, one thread for every worker, and the same examples on every run."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: torch's own threads on top would only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping
from hypothesis import settings

jaxtyping.install_import_hook("dialoom", "typechecker.check")

settings.register_profile("dialoom", deadline=None, derandomize=True)
settings.load_profile("dialoom")
