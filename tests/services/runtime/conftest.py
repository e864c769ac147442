from __future__ import annotations

import sys

import pytest

from tests.services import backend


@pytest.fixture
def stub(monkeypatch):
    """The modules of the runtime, imported anew as a stub process would import them."""
    module = backend.module()
    for name in [name for name in sys.modules if name.startswith("services.runtime")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)
    from services.runtime import watchdog

    monkeypatch.setattr(watchdog, "start", lambda: None)  # this process has no server to watch
    yield module
    for name in [name for name in sys.modules if name.startswith("services.runtime")]:
        del sys.modules[name]
