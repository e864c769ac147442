"""The replies of all streams, sent from one thread, which also finds out whose caller has gone.

To send a reply or to ask about a caller is a round trip to Triton's process, so neither may be waited for in
the step loop. One thread does both, since Triton must not be asked about a caller after its last reply.

The thread needs the interpreter's lock as rarely as possible, because the step loop stops whenever it takes
it: replies are built by those who put them, and handed over by a queue that is not written in Python.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import triton_python_backend_utils as pb

# Between two rounds of questions, for each stream and at most: a question takes about a tenth of a
# millisecond, and a cancel must reach the step loop within 50 ms.
_ASK_SECONDS, _MOST_SECONDS = 0.004, 0.025
_BACKLOG = 64  # waiting replies of one stream, from which on the newest progress replaces the one before


class ReplyStream:
    """The replies to one request, in order. They are put by one thread at a time."""

    def __init__(self, sender: Any, ready: queue.SimpleQueue[ReplyStream | None]) -> None:
        self.gone = False  # whether the caller has gone; written by the sending thread alone, as is the next
        self.over = False  # whether the last reply was sent
        self._sender, self._ready = sender, ready
        self._lock = threading.Lock()
        # Each a message, whether it is the last, and whether it is progress and nothing else.
        self._waiting: deque[tuple[Any, bool, bool]] = deque()

    def put(self, message: Any, *, last: bool = False, progress: bool = False) -> None:
        """Queues a reply, and returns at once. After the last one none may come.

        `progress`: it tells nothing that the next one does not tell, too. What may wait is bounded: beyond a
        backlog only the newest progress stays, and previews and checkpoints are limited when a request is
        admitted.
        """
        with self._lock:
            full = len(self._waiting) >= _BACKLOG and progress and self._waiting[-1][2]
            if full:
                self._waiting.pop()
            self._waiting.append((message, last, progress))
        if not full:
            self._ready.put(self)

    def send_next(self) -> None:
        """Sends the reply that has waited longest, if any does."""
        with self._lock:
            if not self._waiting:
                return
            message, self.over, _ = self._waiting.popleft()
        try:
            self._sender.send(message, flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL if self.over else 0)
        except Exception as fault:  # must not end the thread that serves all streams
            self.gone = True
            pb.Logger.log_warn(f"a reply could not be delivered: {fault}")

    def ask(self) -> None:
        """Asks Triton whether the caller has gone; one that cannot be asked about cannot be answered."""
        try:
            self.gone = self.gone or self._sender.is_cancelled()
        except Exception as fault:  # as above
            self.gone = True
            pb.Logger.log_warn(f"Triton could not say whether a caller has gone: {fault}")


class ReplyQueue:
    """Sends what is put into streams, in the order in which it was put.

    No stream waits for another's caller: Triton takes a reply at once, and keeps it until it is read.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # A stream for each of its replies, and once before the first; None at the end.
        self._ready: queue.SimpleQueue[ReplyStream | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="replies", daemon=True)
        self._thread.start()

    def open(self, sender: Any) -> ReplyStream:
        """The stream of one of Triton's response senders."""
        stream = ReplyStream(sender, self._ready)
        self._ready.put(stream)
        return stream

    def close(self) -> None:
        """Sends what was put, and ends."""
        self._ready.put(None)
        self._thread.join()

    def _run(self) -> None:
        questions = _Questions(self._clock)
        while True:
            try:
                stream = self._ready.get(timeout=questions.pause())
            except queue.Empty:
                questions.ask_next()
                continue
            if stream is None:
                return
            stream.send_next()
            questions.follow(stream)
            questions.ask_next()


class _Questions:
    """Asks about the callers of all streams that are not over, one at a time, in rounds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._streams: dict[ReplyStream, None] = {}
        self._round: deque[ReplyStream] = deque()  # those that this round has yet to ask about
        self._next_round = 0.0

    def follow(self, stream: ReplyStream) -> None:
        """Asks about this stream from now on, or if it is over no more."""
        if stream.over:
            self._streams.pop(stream, None)
            return
        first = not self._streams
        self._streams[stream] = None
        if first:
            self._plan_round()

    def pause(self) -> float | None:
        """Seconds until the next question; None if there is nobody to ask about."""
        if self._round:
            return 0.0
        if not self._streams:
            return None
        return max(self._next_round - self._clock(), 0.0)

    def ask_next(self) -> None:
        """Asks the next question, if it is time."""
        if not self._round and self._streams and self._clock() >= self._next_round:
            self._round.extend(self._streams)
        if self._round:
            stream = self._round.popleft()
            if not stream.over:
                stream.ask()
            if not self._round:
                self._plan_round()

    def _plan_round(self) -> None:
        self._next_round = self._clock() + min(_ASK_SECONDS * len(self._streams), _MOST_SECONDS)
