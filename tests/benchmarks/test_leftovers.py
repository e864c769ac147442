"""What is left of a program, when the system has given its ids to others."""

from __future__ import annotations

import subprocess
import threading

import psutil

from benchmarks.leftovers import Started


def test_an_id_that_a_thread_has_now_is_not_a_process_that_is_left():
    with subprocess.Popen(["sleep", "60"]) as program:
        process = psutil.Process(program.pid)
        program.kill()
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        process._pid = process._proc.pid = thread.native_id  # as if the system had chosen it again
        assert not Started((process,), frozenset(), frozenset()).still_alive(1.0)
    finally:
        over.set()
        thread.join()
