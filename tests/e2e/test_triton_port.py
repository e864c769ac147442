"""What Triton's port does for whoever reaches it, and what it does for its owner only."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient, InferenceServerException

from deploy.local.stack import Stack
from tests.e2e.triton import TritonClient, text

MODEL = "vae"
CODE = b"class TritonPythonModel:\n    def execute(self, requests): return []\n"
OWNERS: dict[str, Callable[[InferenceServerClient], object]] = {
    "loads a model": lambda client: client.load_model(MODEL),
    "loads a model with code of its own": lambda client: client.load_model(
        "own", config=json.dumps({"backend": "python"}), files={"file:1/model.py": CODE}
    ),
    "unloads a model": lambda client: client.unload_model(MODEL),
    "lists the repository": lambda client: client.get_model_repository_index(),
    "reads a model's settings": lambda client: client.get_model_config(MODEL),
    "reads statistics": lambda client: client.get_inference_statistics(MODEL),
    "shares memory": lambda client: client.register_system_shared_memory("any", "/any", 8),
    "looks at shared memory": lambda client: client.get_system_shared_memory_status(),
    "changes the log": lambda client: client.update_log_settings({"log_verbose_level": 9}),
    "changes traces": lambda client: client.update_trace_settings(settings={"trace_level": ["OFF"]}),
}


@pytest.mark.parametrize("key", ["", "0" * 64], ids=["no key", "another key"])
@pytest.mark.parametrize("what", OWNERS)
def test_nobody_but_the_owner(stack: Stack, what: str, key: str) -> None:
    with TritonClient(stack.triton.url, key) as stranger, pytest.raises(InferenceServerException) as refused:
        OWNERS[what](stranger.client)
    assert "This protocol is restricted" in str(refused.value)


def test_everybody_may_ask_for_health_metadata_and_inference(stack: Stack) -> None:
    with TritonClient(stack.triton.url) as stranger:
        assert stranger.client.is_server_live() and stranger.client.is_model_ready(MODEL)
        assert stranger.client.get_model_metadata(MODEL).name == MODEL
        assert stranger.ask(MODEL, {"ask": text("facts")}).as_numpy("facts").size


def test_the_owner_has_the_key_and_no_log_has_it(stack: Stack, models: TritonClient) -> None:
    assert models.client.get_model_config(MODEL).config.name == MODEL
    assert stat.S_IMODE(stack.triton.key_file.stat().st_mode) == 0o600
    assert stack.triton.key_file.read_text(encoding="utf-8") == stack.triton.key
    files = [file for file in stack.settings.data.rglob("*") if file.is_file() and not file.is_symlink()]
    holders = [file for file in files if stack.triton.key.encode() in file.read_bytes()]
    assert holders == [stack.triton.key_file]
    assert Path(stack.settings.data, "triton", "triton.log") in files
