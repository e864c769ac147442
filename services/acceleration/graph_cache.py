"""An LRU cache of recorded passes within bytes, those of the pool they share included."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from services.acceleration.pass_graph import PassGraph
from services.acceleration.recorder import Recorder


class GraphCache:
    """Graphs by shape. The pool cannot shrink beside graphs: if it is too large, all of them go."""

    def __init__(self, recorder: Recorder) -> None:
        self.limit_bytes = 0
        self._recorder = recorder
        self._graphs: OrderedDict[Hashable, PassGraph] = OrderedDict()  # least recently used first
        self._pool_bytes = 0
        self._largest_input = 0  # of the graphs in this pool
        self._pool_per_input = 0.0  # bytes of the pool to one of inputs, as the largest graph lately took

    def __len__(self) -> int:
        return len(self._graphs)

    @property
    def nbytes(self) -> int:
        """The memory that all of them take with their pool."""
        return self._pool_bytes + sum(graph.nbytes for graph in self._graphs.values())

    def get(self, key: Hashable) -> PassGraph | None:
        """The graph of a shape, which becomes the most recently used one."""
        graph = self._graphs.get(key)
        if graph is not None:
            self._graphs.move_to_end(key)
        return graph

    def has_room_for(self, input_bytes: int) -> bool:
        """False if a graph with inputs of this size would surely not fit."""
        least = max(input_bytes * self._pool_per_input, input_bytes, self._pool_bytes)
        return least < self.limit_bytes

    def put(self, key: Hashable, graph: PassGraph) -> None:
        """Keeps a graph that was just recorded, as far as the limit goes."""
        self._graphs[key] = graph
        self._pool_bytes = self._recorder.pool_bytes()
        if graph.input_bytes >= self._largest_input:
            self._largest_input = graph.input_bytes
            self._pool_per_input = self._pool_bytes / max(graph.input_bytes, 1)
        self.limit(self.limit_bytes)

    def limit(self, limit_bytes: int) -> None:
        """Keeps no more than these bytes from now on."""
        self.limit_bytes = limit_bytes
        if self._graphs and self._pool_bytes > limit_bytes:
            self.clear()
        while self._graphs and self.nbytes > limit_bytes:
            _, oldest = self._graphs.popitem(last=False)
            oldest.release()
            if not self._graphs:
                self.clear()

    def clear(self) -> None:
        """Drops every graph, and gives the pool back."""
        if not self._graphs and not self._pool_bytes:
            return
        for graph in self._graphs.values():
            graph.release()
        self._graphs.clear()
        self._recorder.renew_pool()
        self._pool_bytes = self._recorder.pool_bytes()
        self._largest_input = 0
