"""Forward passes that are replayed as graphs where their shape is known, compiled or not."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from services.acceleration.compiled_forward import CompiledForward, NetworkCompiler
from services.acceleration.graph_cache import GraphCache
from services.acceleration.pass_graph import PassGraph
from services.acceleration.recorder import Forward, Recorder
from services.acceleration.row_counts import padded, padded_rows

log = logging.getLogger(__name__)

WARM_PASSES = 3  # of a shape before it is recorded: libraries choose their algorithms in them
_SHAPES = 512  # whose passes are counted
_FIRST_PAUSE = 64  # passes without a new graph after one could not be recorded, doubled each time
_LONGEST_PAUSE = 1 << 16


class GraphedPasses:
    """Records a pass of a shape after a few warm ones of it, and replays it from then on.

    Rows are padded to the next of a few numbers, so that few shapes are recorded. What cannot be recorded
    runs layer by layer. One thread runs passes; any may limit and clear.
    """

    def __init__(self, forward: Forward, recorder: Recorder, compiler: NetworkCompiler | None = None) -> None:
        self._forward, self._recorder, self._compiler = forward, recorder, compiler
        self._compiled: dict[Hashable, CompiledForward] = {}  # by shape
        self._compiling: CompiledForward | None = None  # while shapes are compiled
        self._not_compiled = ""
        self._lock = threading.Lock()
        self._graphs = GraphCache(recorder)  # guarded by _lock, as are the next four
        self._warm: OrderedDict[Hashable, int] = OrderedDict()  # passes of each shape, last used last
        self._pause, self._passes_to_wait = _FIRST_PAUSE, 0
        self._recorded = self._replayed = 0
        self._failure = ""

    @property
    def nbytes(self) -> int:
        """The memory of all graphs and their pool."""
        with self._lock:
            return self._graphs.nbytes

    def __call__(self, *inputs: Tensor, eager: bool = False) -> Tensor:
        rows = padded_rows(len(inputs[0]))
        if eager or rows is None:
            return self._forward(*inputs)
        key = (rows, *((tensor.shape[1:], tensor.dtype) for tensor in inputs))
        if self._compiling is not None:
            self._compiled[key] = self._compiling
            return self._compiling.compile(*(padded(tensor, rows) for tensor in inputs))[: len(inputs[0])]
        with self._lock:
            graph = self._graphs.get(key) or self._new_graph(key, inputs, rows)
            if graph is not None:
                self._replayed += 1
                return graph.run(inputs)
        whole = self._forward_for(key)(*(padded(tensor, rows) for tensor in inputs))
        return whole[: len(inputs[0])]

    def compile(self, usual: Callable[[], None], cache: Path | None) -> None:
        """Compiles the network for the shapes of the passes that `usual` runs, before requests come."""
        missing = "there is no compiler for it" if self._compiler is None else self._compiler.prepare(cache)
        if self._compiler is not None and not missing:
            try:
                self._compiling = self._compiler.forward()
                usual()
            except RuntimeError as problem:  # of the compiler or what it calls; all of theirs are such
                missing = _reason(problem)
                self._compiled.clear()
            finally:
                self._compiling = None
                self._recorder.renew_pool()  # compiling leaves memory behind
        if missing:
            log.warning("the network is not compiled, passes run as graphs alone: %s", missing)
        self._not_compiled = missing

    def limit(self, limit_bytes: int) -> None:
        """Keeps no more memory than this from now on."""
        with self._lock:
            self._graphs.limit(limit_bytes)

    def clear(self) -> None:
        """Drops all graphs; shapes in use are recorded again when they are warm."""
        with self._lock:
            self._graphs.clear()
            self._warm.clear()

    def facts(self) -> dict[str, Any]:
        """The path, graphs that are kept with their bytes and limit, numbers of shapes compiled and recorded
        and of passes replayed, and why a recording or the compiler failed, if one did."""
        with self._lock:
            facts = {
                "path": "compiled + graphs" if self._compiled else "graphs",
                "compiled": len(self._compiled),
                "graphs": len(self._graphs),
                "bytes": self._graphs.nbytes,
                "limit_bytes": self._graphs.limit_bytes,
                "recorded": self._recorded,
                "replayed": self._replayed,
            }
            reasons = {"failure": self._failure, "not_compiled": self._not_compiled}
            return {**facts, **{name: reason for name, reason in reasons.items() if reason}}

    def _forward_for(self, key: Hashable) -> Forward:
        return self._compiled.get(key, self._forward)

    def _new_graph(self, key: Hashable, inputs: Sequence[Tensor], rows: int) -> PassGraph | None:
        """The graph of a shape that is warm, if it can be recorded and kept."""
        if self._passes_to_wait:
            self._passes_to_wait -= 1
        input_bytes = sum(tensor[0].nbytes for tensor in inputs) * rows
        if not self._is_warm(key) or self._passes_to_wait or not self._graphs.has_room_for(input_bytes):
            return None
        try:
            graph = PassGraph(self._recorder, self._forward_for(key), inputs, rows)
        except RuntimeError as problem:  # of the GPU: passes of this shape have run before
            self._failed(_reason(problem))
            return None
        self._recorded += 1
        self._pause = _FIRST_PAUSE
        self._graphs.put(key, graph)
        return self._graphs.get(key)

    def _is_warm(self, key: Hashable) -> bool:
        passes = self._warm.pop(key, 0)
        self._warm[key] = passes + 1
        if len(self._warm) > _SHAPES:
            self._warm.popitem(last=False)
        return passes >= WARM_PASSES

    def _failed(self, reason: str) -> None:
        if not self._failure:
            log.warning("a pass could not be recorded as a graph and runs layer by layer: %s", reason)
        self._failure = reason
        self._passes_to_wait, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE)


def _reason(problem: Exception) -> str:
    words = " ".join(str(problem).split("\n", 2)[:2]).strip()  # the compiler's first names only itself
    return words[:300] or type(problem).__name__
