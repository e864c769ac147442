"""A trajectory taken up from a checkpoint ends in the bytes of one that was never interrupted."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import struct

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from services import json_text
from services.bundles.bundle import Bundle
from services.denoising import checkpoint
from services.denoising.engine import Engine
from services.denoising.family import Request
from services.denoising.memory_budget import state_bytes
from services.ip2p_unet.family import InstructPix2Pix
from services.refusal import Refusal
from services.sd2_inpaint.family import Inpaint
from tests.services.calls import tensors
from tests.services.denoising.doubles import Listener, engine, request, run_to_the_end
from tests.services.denoising.token_family import CHANNELS, Tokens, tokens_request
from training.tiny.adapters import lora

CPU = torch.device("cpu")
STEPS = 22


@pytest.fixture(scope="module", params=[InstructPix2Pix, Inpaint], ids=["edit", "fill"])
def family(request, weights):
    name = {InstructPix2Pix: "ip2p", Inpaint: "sd2_inpaint"}[request.param]
    return request.param(Bundle.open(weights / name), CPU, torch.float32)


def inputs(seed: int = 1, scheduler: str = "ddim", *, steps: int = STEPS, side: int = 4, **more) -> dict:
    """A request's tensors; an edit ignores the hole."""
    drawn = torch.Generator().manual_seed(seed + 1000)
    return tensors(
        source=torch.randn(4, side, side, generator=drawn),
        hole=torch.randint(0, 2, (1, side, side), generator=drawn).float(),
        text=torch.randn(3, 32, generator=drawn),
        no_text=torch.randn(3, 32, generator=drawn),
        seed=torch.tensor([seed]),
        steps=torch.tensor([steps]),
        scheduler=scheduler,
        reproducible=torch.tensor([1]),
        **more,
    )


def finished(loop: Engine, asked: Request) -> Listener:
    listener = Listener()
    loop.admit(asked, listener)
    run_to_the_end(loop)
    return listener


def resumed(loop: Engine, family, blob: Tensor, *args, **more) -> Tensor:
    """The latents of a request that takes up a checkpoint, as it arrived in another process."""
    listener = finished(loop, family.request(inputs(*args, checkpoint=blob.clone(), **more)))
    assert listener.latents is not None, listener.refusal
    return listener.latents


@pytest.mark.parametrize("scheduler", ["ddim", "euler_ancestral", "unipc", "pndm"])
def test_taken_up_at_any_step_the_result_has_the_same_bytes(family, scheduler: str):
    every_step = family.request(inputs(3, scheduler, checkpoint_every=torch.tensor([1])))
    whole = finished(engine(family), every_step)
    assert whole.latents is not None
    assert len(whole.checkpoints) == STEPS - (0 if scheduler == "pndm" else 1)
    for step in random.Random(scheduler).sample(range(len(whole.checkpoints)), 20):
        latents = resumed(engine(family), family, whole.checkpoints[step], 3, scheduler)
        assert latents.numpy().tobytes() == whole.latents.numpy().tobytes(), f"after step {step + 1}"


def test_a_request_taken_up_reports_only_the_steps_that_were_left(family):
    whole = finished(engine(family), family.request(inputs(steps=6, checkpoint_every=torch.tensor([2]))))
    assert len(whole.checkpoints) == 2
    again = finished(engine(family), family.request(inputs(steps=6, checkpoint=whole.checkpoints[1])))
    assert again.reported == [(5, 6)]


def test_checkpoints_go_on_from_a_checkpoint(family):
    every = {"steps": 7, "checkpoint_every": torch.tensor([3])}
    whole = finished(engine(family), family.request(inputs(1, "unipc", **every)))
    again = finished(
        engine(family), family.request(inputs(1, "unipc", checkpoint=whole.checkpoints[0], **every))
    )
    assert len(whole.checkpoints) == 2 and len(again.checkpoints) == 1
    assert torch.equal(whole.checkpoints[1], again.checkpoints[0])


def test_adapters_apply_to_the_steps_after_a_checkpoint(family):
    adapter = family.adapter(lora(family.network, 1))
    uses = json_text.to_tensor([{"key": adapter.key, "strength": 1.0}])
    loop = engine(family)
    loop.adapters.budget_bytes = 1 << 30
    loop.adapters.add(adapter)
    asked = inputs(steps=6, adapters=uses, checkpoint_every=torch.tensor([3]))
    whole = finished(loop, family.request(asked))
    assert whole.latents is not None
    assert torch.equal(resumed(loop, family, whole.checkpoints[0], steps=6, adapters=uses), whole.latents)


@pytest.mark.parametrize("shape", [(12, CHANNELS), (2, 3, 4, CHANNELS)], ids=["tokens", "frames"])
def test_the_state_of_a_family_goes_along(shape):
    """Its cache was filled at the first step, and is used at all others."""
    asked = tokens_request(2, shape, steps=8, full_steps=1, checkpoint_every=1, identity="same")
    whole = finished(engine(Tokens()), asked)
    for blob in whole.checkpoints:
        again = finished(engine(Tokens()), dataclasses.replace(asked, checkpoint=checkpoint.read(blob)))
        assert again.latents is not None and whole.latents is not None
        assert torch.equal(again.latents, whole.latents)


def test_a_family_that_does_not_tell_its_requests_apart_has_no_checkpoints():
    """Else the checkpoint of one request would be taken up by another."""
    asked = request(1, steps=4)
    assert not asked.identity
    held = checkpoint.read(
        finished(engine(), dataclasses.replace(asked, checkpoint_every=1, identity="one")).checkpoints[0]
    )
    for wanted in ({"checkpoint_every": 1}, {"checkpoint": held}):
        with pytest.raises(
            Refusal, match=r"NOT_READY: .*sets no `Request.identity`; send the request without"
        ):
            dataclasses.replace(asked, **wanted)


def test_a_checkpoint_counts_in_the_memory_budget():
    asked = dataclasses.replace(request(1, steps=4), identity="one")
    whole = finished(engine(), dataclasses.replace(asked, checkpoint_every=1))
    held = checkpoint.read(whole.checkpoints[0])
    assert state_bytes(dataclasses.replace(asked, checkpoint=held)) == state_bytes(asked) + held.nbytes


def test_what_a_slow_reader_leaves_waiting_counts_in_the_memory_budget():
    asked = dataclasses.replace(request(1, steps=9), identity="one")
    wanted = dataclasses.replace(asked, checkpoint_every=2, preview_every=4)
    listener = finished(engine(), wanted)
    waiting = sum(tensor.nbytes for tensor in (*listener.checkpoints, *listener.previews))
    assert len(listener.checkpoints) == 4 and len(listener.previews) == 2
    assert state_bytes(wanted) >= state_bytes(asked) + waiting


def refused(family, asked: dict) -> str:
    try:
        listener = finished(engine(family), family.request(asked))
    except Refusal as refusal:
        return str(refusal)
    assert listener.latents is None and listener.refusal is not None
    return str(listener.refusal)


@pytest.fixture(scope="module")
def blob(family) -> Tensor:
    return finished(engine(family), family.request(inputs(checkpoint_every=torch.tensor([19])))).checkpoints[
        0
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": torch.tensor([2])},
        {"steps": torch.tensor([STEPS + 1])},
        {"scheduler": json_text.to_tensor("euler")},
        {"text": torch.zeros(3, 32)},
        {"source": torch.zeros(4, 4, 4)},
        {"guidance": None},
        {"adapters": json_text.to_tensor([{"key": "a" * 64}])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_checkpoint_of_another_request_is_refused(family, blob, change):
    if "guidance" in change:
        change = {"guidance": torch.ones(len(family.usual_guidance)) * 3}
    asked = {**inputs(checkpoint=blob), **change}
    loop = engine(family)
    loop.adapters.pin = loop.adapters.unpin = lambda uses: None  # the adapter is said to be there
    listener = finished(loop, family.request(asked))
    assert listener.refusal is not None
    assert str(listener.refusal).startswith("INVALID_FIELD: checkpoint belongs to another request")


def altered(blob: Tensor, **change) -> Tensor:
    return dataclasses.replace(checkpoint.read(blob), **change).blob()


def generator(blob: Tensor, left: int, following: int) -> Tensor:
    """The state of the random generator with another position."""
    state = bytearray(checkpoint.read(blob).generator.numpy().tobytes())
    struct.pack_into("=i", state, 8, left)
    struct.pack_into("=Q", state, 16, following)
    return torch.frombuffer(state, dtype=torch.uint8)


def with_metadata(blob: Tensor, **change) -> Tensor:
    data = blob.numpy().tobytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["checkpoint"]
    metadata = json.dumps({**json.loads(header), **change})
    return torch.frombuffer(bytearray(save(load(data), {"checkpoint": metadata})), dtype=torch.uint8)


def with_tensor(blob: Tensor, name: str, tensor: Tensor) -> Tensor:
    data = blob.numpy().tobytes()
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    whole = save({**load(data), name: tensor}, metadata)
    return torch.frombuffer(bytearray(whole), dtype=torch.uint8)


def endless() -> Tensor:
    """A tensor of no bytes whose sides cannot be multiplied."""
    header = {"latents": {"dtype": "F32", "shape": [0, 2**62, 4], "data_offsets": [0, 0]}}
    words = json.dumps(header).encode()
    return torch.frombuffer(bytearray(struct.pack("<Q", len(words)) + words), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda blob: blob.float(), "must be UINT8, the bytes of a checkpoint"),
        (lambda blob: blob[:-9], "is not a whole checkpoint of this version"),
        (lambda blob: blob[:4], "is not a whole checkpoint of this version"),
        (lambda blob: torch.zeros(0, dtype=torch.uint8), "is not a whole checkpoint of this version"),
        (lambda blob: torch.full((99,), 255, dtype=torch.uint8), "is not a whole checkpoint of this"),
        (lambda blob: altered(blob, done=0), f"is after step 0 of {STEPS}, where no step is left to take"),
        (lambda blob: altered(blob, done=STEPS), f"is after step {STEPS} of {STEPS}, where no step is left"),
        (lambda blob: altered(blob, identity="another"), "belongs to another request or other weights"),
        (lambda blob: altered(blob, latents=torch.zeros(4, 4, 5)), "belongs to another request"),
        (lambda blob: altered(blob, latents=torch.zeros(2, 4, 4, 4)), "belongs to another request"),
        (lambda blob: altered(blob, latents=torch.full((4, 4, 4), torch.nan)), "holds latents that are dam"),
        (
            lambda blob: altered(blob, generator=torch.zeros(3, dtype=torch.uint8)),
            "holds a random generator that is damaged",
        ),
        (lambda blob: altered(blob, generator=torch.zeros(3)), "holds a random generator that is damaged"),
        # Drawing from it would read far behind the generator's numbers.
        (lambda blob: altered(blob, generator=generator(blob, 624, 620)), "holds a random generator that is"),
        (lambda blob: altered(blob, generator=generator(blob, -1, 626)), "holds a random generator that is"),
        (lambda blob: altered(blob, family={"cache": torch.zeros(3)}), "holds a state that cannot be taken"),
        (lambda blob: with_metadata(blob, done=math.inf), "is not a whole checkpoint of this version"),
        (lambda blob: with_tensor(blob, "more", torch.zeros(3)), "is not a whole checkpoint of this version"),
        (lambda blob: endless(), "is not a whole checkpoint of this version"),
        (lambda blob: torch.cat([blob, blob.new_zeros(1 << 17)]), "has "),
        (lambda blob: altered(blob, schedule={}), "holds a state that cannot be taken up"),
        (
            lambda blob: altered(blob, schedule={"counters": torch.tensor([5, 2])}),
            "holds a state that cannot be taken up",
        ),
        (
            lambda blob: altered(
                blob, schedule={**checkpoint.read(blob).schedule, "ets.0": torch.zeros(1, 4, 4, 4)}
            ),
            "holds a state that cannot be taken up",
        ),
    ],
)
def test_a_checkpoint_that_cannot_be_taken_up_is_refused(family, blob, change, complaint):
    assert refused(family, inputs(checkpoint=change(blob))).startswith(
        f"INVALID_FIELD: checkpoint {complaint}"
    )


def test_damaged_bytes_end_in_a_refusal_or_a_result_and_never_harm_another_request(family, blob):
    drawn, loop = random.Random(7), engine(family)
    for _ in range(40):
        spoiled = blob.clone()
        for _ in range(drawn.randint(1, 4)):
            spoiled[drawn.randrange(len(spoiled))] = drawn.randrange(256)
        try:
            listener = finished(loop, family.request(inputs(checkpoint=spoiled)))
        except Refusal as refusal:
            assert refusal.reason == "INVALID_FIELD"
        else:
            assert listener.latents is not None or listener.refusal is not None
    assert finished(loop, family.request(inputs(steps=2))).latents is not None


def test_more_checkpoints_than_a_reader_may_leave_waiting_are_refused(family):
    source, hole = torch.zeros(4, 256, 256), torch.zeros(1, 256, 256)
    asked = {**inputs(checkpoint_every=torch.tensor([1]), steps=50), "source": source, "hole": hole}
    with pytest.raises(Refusal, match="INVALID_FIELD: checkpoint_every asks for more than 256 MiB"):
        family.request(asked)
