"""What holds for every test."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("intarsia", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("intarsia")

# Whoever runs the tests in the background has Ctrl-C switched off for them and for every program they start,
# some of which are to be ended that way.
signal.signal(signal.SIGINT, signal.default_int_handler)
