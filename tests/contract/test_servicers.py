"""Every method of every servicer begins with the caller, and passes it on as the first argument."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from intarsia.v1 import adapters_pb2, artifacts_pb2, editing_pb2, jobs_pb2, segmentation_pb2

API = Path(__file__).parents[2] / "orchestrator" / "api"
RPCS = {
    (service.name, rpc.name)
    for module in (adapters_pb2, artifacts_pb2, editing_pb2, jobs_pb2, segmentation_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for rpc in service.methods
}
METHODS = {
    (servicer.name, method.name): method
    for path in API.glob("*.py")
    for servicer in ast.parse(path.read_text()).body
    if isinstance(servicer, ast.ClassDef)
    and any(ast.unparse(base).endswith(f"{servicer.name}Servicer") for base in servicer.bases)
    for method in servicer.body
    if isinstance(method, ast.AsyncFunctionDef) and not method.name.startswith("_")
}


def attributes_of_self(function: ast.expr) -> bool:
    """True for `self.a`, `self.a.b` and so on."""
    while isinstance(function, ast.Attribute):
        function = function.value
    return isinstance(function, ast.Name) and function.id == "self"


def test_every_rpc_is_a_method_of_a_servicer() -> None:
    assert set(METHODS) == RPCS


@pytest.mark.parametrize("name", sorted(METHODS), ids=".".join)
def test_it_begins_with_the_caller(name: tuple[str, str]) -> None:
    assert ast.unparse(METHODS[name].body[0]) == "caller = caller_of(context)"


@pytest.mark.parametrize("name", sorted(METHODS), ids=".".join)
def test_it_passes_the_caller_on_as_the_first_argument(name: tuple[str, str]) -> None:
    calls = [
        node
        for node in ast.walk(METHODS[name])
        if isinstance(node, ast.Call) and attributes_of_self(node.func)
    ]
    assert calls
    assert all([ast.unparse(argument) for argument in call.args][:1] == ["caller"] for call in calls)
