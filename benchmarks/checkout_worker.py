"""Measures the checkout it is started in, for `benchmarks.before_after`: JSON lines in and out.

It runs in other checkouts too, so it uses what they all have: the command that serves, and the client.
"""

from __future__ import annotations

import http.client
import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import av
import numpy as np
from PIL import Image

import intarsia

ENDLESS = 1000  # steps: as many as a request may have
SIZE = (480, 320)


def main(data: str, weights: str, threads: str) -> None:
    """Serves with these weights until stdin ends."""
    with serving(data, weights, threads) as (address, metrics), intarsia.Client(address) as client:
        picture = client.upload(_picture()).name
        measurements: dict[str, Callable[..., float]] = {
            "edit": partial(edit, client, picture),
            "share": partial(share, client, picture),
            "cancel": partial(cancel, client, picture, metrics),
            "track": partial(track, client),
            "start": partial(start, data, weights, threads),
        }
        for line in sys.stdin:
            question = json.loads(line)
            seconds = measurements[question.pop("do")](**question)
            print(json.dumps({"seconds": seconds}), flush=True)


@contextmanager
def serving(data: str, weights: str, threads: str) -> Iterator[tuple[str, str]]:
    """A platform of the checkout: its address, and that of its models' metrics."""
    arguments = ["--port", "0", "--data", data, "--weights", weights, "--threads", threads]
    platform = subprocess.Popen(
        [sys.executable, "-m", "deploy.local", *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert platform.stdout is not None
        address = _after("serving on ", platform.stdout)
        yield address, _after("metrics: ", platform.stdout).split(" and ")[1]
    finally:
        platform.send_signal(signal.SIGTERM)
        platform.wait()


def edit(client: Any, picture: str, *, side: int, steps: int, seed: int) -> float:
    started = time.perf_counter()
    client.read(_submit(client, picture, side, steps, seed).result(timeout=300).picture)
    return time.perf_counter() - started


def share(client: Any, picture: str, *, side: int, steps: int, clients: int, seed: int) -> float:
    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(
            pool.map(
                lambda n: _submit(client, picture, side, steps, 100 * seed + n).result(timeout=300),
                range(clients),
            )
        )
    return time.perf_counter() - started


def cancel(client: Any, picture: str, metrics: str, *, side: int, times: int, seed: int) -> float:
    """Several cancels, spread over the length of a step: where in a step one falls is most of its time."""
    seconds = 0.0
    for number in range(times):
        _wait_running(metrics, 0)
        job = _submit(client, picture, side, ENDLESS, seed)
        _wait_running(metrics, 1)
        time.sleep(0.2 + 0.01 * number)
        started = time.perf_counter()
        with ThreadPoolExecutor(1) as pool:
            answered = pool.submit(job.cancel)  # the answer may wait for a disk, the step loop does not
            seconds += _wait_running(metrics, 0) - started
            answered.result()
    return seconds


def track(client: Any, *, frames: int, seed: int) -> float:
    clip = client.upload(_clip(frames, seed)).name
    started = time.perf_counter()
    client.track_region(clip, intarsia.rectangle(100, 260, 300, 460)).result(timeout=300)
    return time.perf_counter() - started


def start(data: str, weights: str, threads: str, *, side: int, steps: int, seed: int) -> float:
    """A further platform, which finds nothing that an earlier one has learnt."""
    started = time.perf_counter()
    with TemporaryDirectory(dir=data) as empty:
        with serving(empty, weights, threads) as (address, _), intarsia.Client(address) as client:
            edit(client, client.upload(_picture()).name, side=side, steps=steps, seed=seed)
            return time.perf_counter() - started


def _submit(client: Any, picture: str, side: int, steps: int, seed: int) -> Any:
    chance = np.random.default_rng(seed)
    left, top = (int(chance.integers(0, length - side + 1)) for length in SIZE)
    return client.edit_region(
        picture,
        intarsia.rectangle(left, top, left + side, top + side).feathered(0),
        f"make the circle blue {seed}",
        seed=seed,
        steps=steps,
        guidance=7.5,
        picture_guidance=1.5,
        context=0,
        working_size=side,
    )


def _picture() -> bytes:
    coarse = np.random.default_rng(7).integers(0, 256, (20, 30, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def _clip(frames: int, seed: int) -> bytes:
    """A square that moves to the right over a ground of blurred colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), np.uint8)
    ground = np.asarray(Image.fromarray(coarse).resize((1280, 720), Image.Resampling.BICUBIC))
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for number in range(frames):
            picture = ground.copy()
            picture[260:460, 100 + 4 * number : 300 + 4 * number] = (230, 40, 40)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def _after(words: str, lines: Iterable[str]) -> str:
    for line in lines:
        if line.startswith(words):
            return line.removeprefix(words).strip()
    raise RuntimeError("the platform ended before it served")


def _wait_running(url: str, wanted: int) -> float:
    """The moment at which the step loops were seen to run so many requests."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=10)
    while True:
        connection.request("GET", where.path)
        page = connection.getresponse().read().decode()
        if (
            sum(float(found) for found in re.findall(r"^intarsia_engine_running\{.*\} (\S+)$", page, re.M))
            == wanted
        ):
            connection.close()
            return time.perf_counter()
        time.sleep(0.001)  # a gauge cannot be waited for


if __name__ == "__main__":
    main(*sys.argv[1:])
