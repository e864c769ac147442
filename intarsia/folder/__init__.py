"""Folders: the same request for every picture of a folder, with results, a journal and a report.

    import intarsia
    from intarsia import folder

    where = folder.Folder("imgs", out="out", masks="masks")
    damage = intarsia.mask(None, inside="white").grown(2)  # each picture's own mask
    report = folder.run(where, lambda client: client.fill_request(damage, seed=7))
    print(report.counts, report.reasons)

Run again, after a kill, a Ctrl-C or a change, it does what is not done yet. `run_async` is the same for
asyncio.
"""

from __future__ import annotations

from intarsia.folder.batch import RequestFactory, run, run_async
from intarsia.folder.folder import Folder
from intarsia.folder.listener import Listener
from intarsia.folder.pairs import Item, Pairs
from intarsia.folder.report import Report

__all__ = ["Folder", "Item", "Listener", "Pairs", "Report", "RequestFactory", "run", "run_async"]
