"""The Triton made of numpy in a process of its own: what it allocates is not this process's."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.orchestrator.doubles.triton import Triton


@contextmanager
def triton_process(size: int) -> Iterator[str]:
    """Serves all models until the context ends, the denoisers with this native size; gives the address."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__, str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()  # it ends by itself
            process.wait()


async def _serve(size: int) -> None:
    async with Triton() as triton:
        triton.ip2p_unet.size = triton.sd2_inpaint.size = size
        triton.sam.knows_words = True
        triton.sam.things = {
            "many": [((n, 0, n + 20, 30), 0.9) for n in range(150)],
            "others": [((n, 25, n + 20, 60), 0.9) for n in range(150)],
        }
        print(triton.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
