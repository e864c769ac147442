"""Random numbers for networks of full size."""

from __future__ import annotations

import torch

from benchmarks.gpu.bundles import random_tensors
from services.bundles.architectures import build_on_meta
from training.tiny import networks


def test_random_tensors_fit_the_network_and_nothing_overflows_in_half_precision():
    config = dict(networks.unet().config)
    network = build_on_meta("unet", config)
    tensors = random_tensors(network, torch.Generator().manual_seed(0))
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    seen, text = torch.randn(2, 8, 16, 16), torch.randn(2, 20, networks.TEXT_WIDTH)
    with torch.no_grad():
        predicted = network(seen, torch.tensor(500.0), text).sample
    assert 0.1 < float(predicted.std()) < 10.0


def test_what_a_network_computes_itself_keeps_its_value():
    network = torch.nn.Module()
    network.register_buffer("places", torch.arange(3))
    network.register_buffer("waves", torch.tensor([0.5, 0.25]))
    tensors = random_tensors(network, torch.Generator().manual_seed(0))
    assert tensors["places"].tolist() == [0, 1, 2]
    assert tensors["waves"].tolist() == [0.5, 0.25]
