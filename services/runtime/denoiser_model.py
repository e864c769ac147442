"""The `model.py` of every denoiser: a registered family with a step loop, behind Triton."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.adapters.cache import AdapterCache
from services.denoising.costs import measure
from services.denoising.denoiser_family import DenoiserFamily
from services.denoising.engine import Engine, EngineLimits
from services.denoising.memory_budget import GRAPHS_SHARE, memory_for_work
from services.denoising.meter import Meter
from services.denoising.price_file import Known
from services.registry import FAMILIES
from services.runtime.environment import (
    bundle_named,
    cache_folder,
    compile_wanted,
    device_of,
    memory_share,
    running_at_once,
)
from services.runtime.metrics import EngineMeter
from services.runtime.price_keeper import PriceKeeper, price_file
from services.runtime.stream_server import StreamServer

_FOR_ADAPTERS = 0.25  # of the memory for work, and beside it
_COMPILED_REQUESTS = (1, 8)  # in a pass: compiling takes about a minute each, once


class TritonPythonModel:
    """Triton's interface to a model."""

    def initialize(self, args: Mapping[str, Any]) -> None:
        registered, device = FAMILIES[args["model_name"]], device_of(args)
        bundle = bundle_named(registered.bundle)
        family = registered.family(bundle, device, bundle.number_type(device))
        self._meter = EngineMeter(args["model_name"])
        cache = cache_folder()
        if compile_wanted():
            family.passes.compile(lambda: _run_usual_passes(family), cache)
        prices = None if cache is None else price_file(cache, family)
        engine = engine_for(family, self._meter, {} if prices is None else prices.read())
        self._keeper = None if prices is None else PriceKeeper(prices, engine.costs)
        self._server = StreamServer(family, engine)

    def execute(self, requests: Sequence[Any]) -> None:
        self._server.admit(requests)  # replies are sent step by step

    def finalize(self) -> None:
        self._server.close()  # lets running trajectories finish
        self._meter.close()
        if self._keeper is not None:
            self._keeper.close()


def engine_for(family: DenoiserFamily, meter: Meter, known: Known) -> Engine:
    """A step loop for a family. What is not known of the costs of its passes is measured."""
    share = memory_share()
    memory = memory_for_work(family.device, share)
    adapters = AdapterCache(family.network, memory_for_work(family.device, share * _FOR_ADAPTERS))
    graphs = int(memory * GRAPHS_SHARE)
    family.passes.limit(graphs)
    costs = measure(family, family.works(), budget_bytes=memory, known=known)
    limits = EngineLimits(memory=memory, graphs=graphs, running=running_at_once() or EngineLimits.running)
    return Engine(family, costs, limits, meter, adapters, family.passes)


def _run_usual_passes(family: DenoiserFamily) -> None:
    typical = family.typical()
    for requests in _COMPILED_REQUESTS:
        family.predict(family.sample(len(typical.branches) * requests, typical.work))
