"""The parts that all families with a UNet share: request, cost and network."""
