"""Lets vLLM run its V2 runner on a CPU, for tests: that runner's Triton kernels go through Triton's own interpreter.

vLLM looks for a Triton with a CPU backend, which PyPI does not have. Loaded by every Python that has this folder on its
path.
"""

import os

os.environ["TRITON_INTERPRET"] = "1"


class _Driver:
    @staticmethod
    def is_active():
        return True


class _Backend:
    driver, compiler = _Driver, None


try:
    from triton.backends import backends
except ImportError:
    pass
else:
    backends["cpu"] = _Backend
