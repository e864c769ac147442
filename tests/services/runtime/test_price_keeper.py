"""Prices that outlive the process that learnt them."""

from __future__ import annotations

import threading
from pathlib import Path

import torch

from services.bundles.bundle import Bundle
from services.denoising.costs import Costs, Kind, Measured
from services.denoising.price_file import Known, PriceFile
from services.ip2p_unet.family import InstructPix2Pix
from services.runtime.price_keeper import PriceKeeper, device_name, price_file

CPU = torch.device("cpu")


class Noted(PriceFile):
    """Counts how often it is written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, {"device": "a card"})
        self.times = 0
        self.written = threading.Event()

    def write(self, known: Known) -> None:
        super().write(known)
        self.times += 1
        self.written.set()


def learn(costs: Costs, rows: int, seconds: float) -> None:
    for _ in range(2):  # the first pass of a shape is no price
        costs.observe(Kind(64), rows, seconds)


def test_prices_are_written_at_once_and_when_the_model_closes(tmp_path: Path):
    file, costs = Noted(tmp_path), Costs((Measured(64, {1: 1.0}, 1),))
    keeper = PriceKeeper(file, costs)
    assert file.written.wait(20)
    assert file.read() == {Kind(64): {1: 1.0}}
    learn(costs, 3, 1.5)
    keeper.close()
    assert file.read() == {Kind(64): {1: 1.0, 3: 1.5}}
    assert file.times == 2


def test_prices_are_written_every_so_often_but_only_if_they_changed(tmp_path: Path):
    file, costs = Noted(tmp_path), Costs((Measured(64, {1: 1.0}, 1),))
    keeper = PriceKeeper(file, costs, every=0.001)
    assert file.written.wait(20)
    file.written.clear()
    learn(costs, 3, 1.5)
    assert file.written.wait(20)
    times = file.times
    keeper.close()
    assert file.times == times <= 3


def test_the_file_is_that_of_the_device_the_network_and_the_threads(weights: Path, tmp_path: Path):
    family = InstructPix2Pix(Bundle.open(weights / "ip2p"), CPU, torch.float32)
    half = InstructPix2Pix(Bundle.open(weights / "ip2p"), CPU, torch.float16)
    path = price_file(tmp_path, family).path
    assert path.parent == tmp_path / "prices"
    assert price_file(tmp_path, family).path == path
    assert price_file(tmp_path, half).path != path
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert price_file(tmp_path, family).path != path
    finally:
        torch.set_num_threads(threads)


def test_a_processor_has_a_name():
    assert device_name(CPU).endswith(" cores")
