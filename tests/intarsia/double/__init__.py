"""A server that follows the protos and does no work: what it answers is scripted by the test.

It keeps artifacts in memory, remembers every request, and breaks where it is told to. Jobs succeed at
once unless `by_hand` is set; then the test moves them on with `advance` and `finish`.
"""

from tests.intarsia.double.artifacts import EXPIRES
from tests.intarsia.double.fault import Fault
from tests.intarsia.double.server import Double, serve

__all__ = ["EXPIRES", "Double", "Fault", "serve"]
