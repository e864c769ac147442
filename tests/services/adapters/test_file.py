"""What is read out of an adapter's file, and what it makes of a network, beside diffusers and peft."""

from __future__ import annotations

import copy
import json
import re
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from safetensors.torch import load
from torch import Tensor

from services.adapters.cache import AdapterCache, AdapterUse
from services.adapters.file import Adapter, AdapterError, digest_of
from services.adapters.file import read as read_for
from training.tiny import networks
from training.tiny.adapters import file, keyed, layers, lora, matrices, own_weights

read = partial(read_for, weights="the digest of the base")
# Linear layers, convolutions of 1 x 1 and 3 x 3, and one of stride 2.
MIXED = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "conv1", "ff.net.0.proj", "conv_in", "time_emb_proj")
MIXED += ("conv_shortcut", "downsamplers.0.conv")


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(3)
    return networks.unet().eval().requires_grad_(False)


@pytest.fixture
def fresh(unet):
    """A network of the same weights, to be changed."""
    return copy.deepcopy(unet)


def answer(network) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    seen = torch.randn(2, 8, 16, 16, generator=generator).to(network.dtype)
    text = torch.randn(2, 5, 32, generator=generator).to(network.dtype)
    with torch.inference_mode():
        return network(seen, torch.tensor([37.0, 801.0]), text, return_dict=False)[0]


def applied(network, *uses: tuple[Adapter, float]) -> Tensor:
    cache = AdapterCache(network, 1 << 30)
    for adapter, _ in uses:
        cache.add(adapter)
    with cache.applied([AdapterUse(adapter.key, strength) for adapter, strength in uses]):
        return answer(network)


def is_close(found: Tensor, wanted: Tensor, base: Tensor) -> None:
    assert (wanted - base).abs().max() > 0.01, "the adapter should matter"
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def peft_config(**more):
    from peft import LoraConfig

    return LoraConfig(**{"r": 4, "lora_alpha": 4, "target_modules": list(MIXED), **more})


def stirred(network, **more):
    """The network with a LoRA of peft's own, whose matrices are random, and the answer it gives."""
    network.add_adapter(peft_config(init_lora_weights=False, **more))
    network.eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_" in name:
                parameter *= 0.3
    return answer(network)


def sent(path) -> Tensor:
    return torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)


def test_a_file_of_peft_answers_as_peft_does(unet, fresh, tmp_path):
    from peft import get_peft_model

    wrapped = get_peft_model(fresh, peft_config(init_lora_weights=False)).eval()
    wrapped.save_pretrained(tmp_path)
    adapter = read(sent(tmp_path / "adapter_model.safetensors"), unet)
    is_close(applied(unet, (adapter, 1.0)), answer(wrapped), answer(unet))
    assert adapter.report["layout"] == "peft" and adapter.report["rank"] == 4
    assert adapter.report["matched"] == len(layers(unet, MIXED)) and adapter.report["unexpected"] == []


@pytest.mark.parametrize(
    "more",
    [
        {"lora_alpha": 9},
        {"lora_alpha": 2, "use_rslora": True},
        {"lora_alpha": 6, "alpha_pattern": {"to_q": 12, "conv_in": 1}},
    ],
)
def test_alpha_is_found_where_diffusers_writes_it(unet, fresh, tmp_path, more):
    from diffusers.loaders import StableDiffusionLoraLoaderMixin
    from peft.utils import get_peft_model_state_dict

    wanted = stirred(fresh, **more)
    fresh.save_lora_adapter(tmp_path / "bare")
    StableDiffusionLoraLoaderMixin.save_lora_weights(
        tmp_path / "whole",
        unet_lora_layers=get_peft_model_state_dict(fresh, adapter_name="default"),
        unet_lora_adapter_metadata=peft_config(**more).to_dict() | {"target_modules": list(MIXED)},
    )
    for folder in ("bare", "whole"):
        adapter = read(sent(tmp_path / folder / "pytorch_lora_weights.safetensors"), unet)
        is_close(applied(unet, (adapter, 1.0)), wanted, answer(unet))
        assert adapter.report["layout"] == "diffusers"


def loaded_by_diffusers(network, content: Tensor, strength: float) -> Tensor:
    """What diffusers itself makes of a file, not fused."""
    from diffusers.loaders import StableDiffusionLoraLoaderMixin as Loader

    state, alphas = Loader.lora_state_dict(load(content.numpy().tobytes()), unet_config=network.config)
    Loader.load_lora_into_unet(state, network_alphas=alphas, unet=network, adapter_name="it")
    network.set_adapters("it", strength)
    return answer(network)


@pytest.mark.parametrize("strength", [1.0, 0.4, -1.5])
@pytest.mark.parametrize("layout", ["diffusers", "updown", "old", "kohya"])
def test_every_layout_answers_as_diffusers_does(unet, fresh, layout, strength):
    ends = ("to_q", "to_v", "to_out.0") if layout == "old" else MIXED
    made = matrices(unet, ends, rank=3, seed=4)
    tensors = keyed(made, layout)
    if layout == "kohya":
        tensors |= {
            f"lora_unet_{name.replace('.', '_')}.alpha": torch.tensor(1.5 + len(name) % 2) for name in made
        }
    content = file(tensors)
    adapter = read(content, unet)
    is_close(applied(unet, (adapter, strength)), loaded_by_diffusers(fresh, content, strength), answer(unet))
    assert adapter.report["layout"] == ("kohya" if layout == "kohya" else "diffusers")
    assert adapter.report["kind"] == "lora" and adapter.report["rank"] == 3
    assert adapter.report["matched"] == len(made) == len(adapter.deltas)


def test_layouts_differ_in_nothing_but_their_keys(unet):
    made = matrices(unet, ("to_k", "to_out.0"))
    layouts = ("peft", "named", "diffusers", "bare", "updown", "old", "kohya")
    adapters = {layout: read(file(keyed(made, layout)), unet) for layout in layouts}
    assert len({adapter.key for adapter in adapters.values()}) == len(layouts)
    first, *others = (applied(unet, (adapter, 1.0)) for adapter in adapters.values())
    assert all(torch.equal(first, other) for other in others)
    assert [adapters[layout].report["layout"] for layout in ("named", "bare")] == ["peft", "diffusers"]


def test_own_weights_answer_as_if_they_were_loaded(unet, fresh):
    moved = own_weights(unet)
    adapter = read(file(moved), unet)
    fresh.load_state_dict(moved, strict=False)
    is_close(applied(unet, (adapter, 1.0)), answer(fresh), answer(unet))
    assert adapter.report["kind"] == "weights" and adapter.report["layout"] == "flat"
    assert adapter.report["rank"] == 0
    assert adapter.report["parameters"] == sum(tensor.numel() for tensor in moved.values())


def test_own_weights_of_convolutions_and_biases_alone_are_enough(unet, fresh):
    moved = {key: value for key, value in own_weights(unet, ()).items() if "conv" in key or "bias" in key}
    fresh.load_state_dict(moved, strict=False)
    is_close(applied(unet, (read(file(moved), unet), 1.0)), answer(fresh), answer(unet))


def test_half_of_a_change_lies_halfway(unet, fresh):
    moved = own_weights(unet)
    own = unet.state_dict()
    fresh.load_state_dict({key: (own[key] + value) / 2 for key, value in moved.items()}, strict=False)
    is_close(applied(unet, (read(file(moved), unet), 0.5)), answer(fresh), answer(unet))


def test_lora_and_own_weights_combine(unet, fresh):
    content, moved = lora(unet, 1), own_weights(unet, ("to_q", "conv1"), seed=2)
    fresh.load_state_dict(moved, strict=False)
    wanted = loaded_by_diffusers(fresh, content, 0.7)
    both = (read(content, unet), 0.7), (read(file(moved), unet), 1.0)
    is_close(applied(unet, *both), wanted, answer(unet))
    one = read(file({**load(content.numpy().tobytes()), **moved}), unet)
    assert one.report["kind"] == "lora" and one.report["layout"] == "diffusers"


def test_the_base_is_the_same_to_the_bit_before_and_after(unet):
    before, state = answer(unet), {key: value.clone() for key, value in unet.state_dict().items()}
    uses = [(read(lora(unet), unet), 2.0), (read(file(own_weights(unet)), unet), 1.0)]
    assert not torch.equal(applied(unet, *uses), before)
    assert torch.equal(answer(unet), before)
    assert all(torch.equal(unet.state_dict()[key], value) for key, value in state.items())
    assert not any(module._forward_hooks for module in unet.modules())


def test_a_pass_that_fails_leaves_nothing_on(unet):
    cache, adapter = AdapterCache(unet, 1 << 30), read(lora(unet), unet)
    cache.add(adapter)
    with pytest.raises(ZeroDivisionError), cache.applied([AdapterUse(adapter.key, 1.0)]):
        raise ZeroDivisionError
    assert not any(module._forward_hooks for module in unet.modules())


@pytest.mark.parametrize("kind", ["lora", "weights"])
def test_an_adapter_computes_in_the_type_of_its_network(unet, fresh, kind):
    content = lora(unet) if kind == "lora" else file(own_weights(unet))
    half = fresh.to(torch.bfloat16)
    whole, thin = read(content, unet), read(content, half)
    assert {tensor.dtype for tensor in placed(thin)} == {torch.bfloat16}
    assert thin.nbytes * 2 == whole.nbytes
    found = applied(half, (thin, 1.0))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), applied(unet, (whole, 1.0)), rtol=0.05, atol=0.05)


def placed(adapter: Adapter) -> list[Tensor]:
    return [
        tensor
        for deltas in adapter.deltas.values()
        for delta in deltas
        for tensor in vars(delta).values()
        if isinstance(tensor, Tensor)
    ]


def test_the_report_says_what_was_found(unet):
    tensors = keyed(matrices(unet, ("to_q",), rank=2), "kohya")
    stray = {
        f"lora_te_text_model_encoder_layers_{i}_q_proj.lora_down.weight": torch.ones(2, 4) for i in range(40)
    }
    stray |= {"text_encoder.text_model.lora_A.weight": torch.ones(1), "nonsense": torch.ones(1)}
    content = file({**tensors, **stray}, {"trained on": "drawn shapes", "long": "x" * 5000})
    report = read(content, unet).report
    assert report["key"] == digest_of(content) and len(report["key"]) == 64
    assert report["weights"] == "the digest of the base"
    assert (report["matched"], report["unexpected_count"]) == (len(layers(unet, ("to_q",))), 42)
    assert len(report["unexpected"]) == 32 and report["unexpected"][0].startswith("lora_te_")
    assert report["parameters"] == sum(tensor.numel() for tensor in tensors.values())
    assert report["metadata"]["trained on"] == "drawn shapes" and len(report["metadata"]["long"]) < 400
    assert json.loads(json.dumps(report)) == report


def changed(tensors: dict[str, Tensor], end: str, change) -> dict[str, Tensor]:
    """With the first key of this end changed, or dropped if it becomes None."""
    key = next(key for key in sorted(tensors) if key.endswith(end))
    rest = {other: value for other, value in tensors.items() if other != key}
    made = change(tensors[key])
    return rest if made is None else {**rest, key: made}


def with_metadata(words: str):
    return lambda unet: file(keyed(matrices(unet), "diffusers"), {"lora_adapter_metadata": words})


def with_lora(end: str, change):
    return lambda unet: file(changed(keyed(matrices(unet), "diffusers"), end, change))


def with_own(end: str, change):
    return lambda unet: file(changed(own_weights(unet), end, change))


def with_more(more: dict[str, Tensor]):
    return lambda unet: file({**keyed(matrices(unet), "diffusers"), **more})


Q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
DOWN, UP = "lora_A.weight", "lora_B.weight"
LONG_HEADER = torch.full((18 << 20,), 32, dtype=torch.uint8)
LONG_HEADER[:8] = torch.tensor(list((17 << 20).to_bytes(8, "little")))
# What is wrong with a file for a network, and what is said of it.
WRONG = {
    "not whole": (lambda unet: lora(unet)[:-7], "is not a whole safetensors file"),
    "empty": (lambda unet: lora(unet)[:0], "is not a whole safetensors file"),
    "a pickle": (
        lambda _: torch.frombuffer(bytearray(b"\x80\x04K\x01.") * 9, dtype=torch.uint8),
        "safetensors",
    ),
    "a long header": (lambda _: LONG_HEADER, "has a header of 17825792 bytes; at most 16777216 are read"),
    "nothing in it": (lambda _: file({}), "holds no tensors at all"),
    "no down": (with_lora(DOWN, lambda _: None), "lora_B.weight without the lora_A or lora_down of the same"),
    "no up": (with_lora(UP, lambda _: None), "lora_A.weight without the lora_B or lora_up of the same layer"),
    "alpha alone": (with_more({"unet.conv_in.alpha": torch.ones(1)}), "holds unet.conv_in.alpha without the"),
    "wrong width": (with_lora(DOWN, lambda x: x[:, 1:]), f"{DOWN} shaped [2, 31], but [2, 32] is wanted"),
    "wrong rank": (with_lora(UP, lambda x: x[:, :1]), f"{UP} shaped [32, 1], but [32, 2] is wanted here"),
    "no rank": (with_lora(DOWN, lambda x: x[:0]), f"{DOWN} shaped [0, 32], but [1, 32] is wanted here"),
    "a number": (with_lora(DOWN, lambda x: x[0, 0]), f"{DOWN} shaped [], but [1, 32] is wanted here"),
    "too deep": (with_lora(DOWN, lambda x: x[..., None]), f"{DOWN} shaped [2, 32, 1], but [2, 32] is wanted"),
    "nan": (with_lora(DOWN, lambda x: x / 0), f"{DOWN} that are not finite in torch.float32"),
    "too large": (with_lora(UP, lambda x: x.double() * 1e99), f"{UP} that are not finite in torch.float32"),
    "small numbers": (with_lora(DOWN, lambda x: x.to(torch.int8)), f"{DOWN} as I8; numbers of F64, F32"),
    "two alphas": (with_more({f"unet.{Q}.alpha": torch.ones(2)}), "alpha shaped [2]; a single number is"),
    "alpha nan": (
        with_more({f"unet.{Q}.alpha": torch.ones(1) / 0}),
        "alpha = inf; a finite number is wanted",
    ),
    "twice": (
        with_more({f"{Q}.lora_A.my.weight": torch.ones(2, 32)}),
        "the same part of one layer; save each",
    ),
    "dora": (with_more({f"unet.{Q}.lora_magnitude_vector": torch.ones(32)}), "not DoRA, LoHa"),
    "lora bias": (with_more({f"unet.{Q}.lora_B.bias": torch.ones(32)}), "or LoRA with a bias"),
    "tucker": (with_more({"lora_unet_x.lora_mid.weight": torch.ones(1)}), "Tucker"),
    "a norm": (
        with_more({"conv_norm_out.weight": torch.ones(32)}),
        "conv_norm_out is a GroupNorm; only linear",
    ),
    "a norm's lora": (with_more({"unet.conv_norm_out.lora_A.weight": torch.ones(1)}), "is a GroupNorm; only"),
    "another's own": (
        with_own("to_q.weight", lambda x: x[1:]),
        "to_q.weight shaped [31, 32], but [32, 32] is wanted here; it was made for another network",
    ),
    "own inf": (with_own("to_out.0.bias", lambda x: x / 0), "to_out.0.bias that are not finite"),
    "another's": (
        lambda _: file({f"unet.elsewhere.{i}.lora_A.weight": torch.ones(1) for i in range(3)}),
        "holds nothing for this network: its keys are spelled the diffusers way, for example "
        "unet.elsewhere.0.lora_A.weight, but layers here have names like conv_in",
    ),
    "another's kohya": (
        lambda _: file({"lora_unet_input_blocks_1_to_q.lora_up.weight": torch.ones(1)}),
        "spelled the kohya way, for example lora_unet_input_blocks_1_to_q.lora_up.weight",
    ),
    "nobody's": (lambda _: file({"x": torch.ones(1)}), "spelled in no known way, for example x, but"),
    "metadata": (with_metadata("{"), "has metadata lora_adapter_metadata that is not JSON"),
    "metadata list": (with_metadata("[1]"), "that is not a JSON object"),
    "metadata alpha": (with_metadata('{"lora_alpha": "much"}'), "lora_alpha holds much, which is no alpha"),
    "metadata inf": (
        with_metadata('{"unet.lora_alpha": Infinity}'),
        "lora_alpha holds inf, which is no alpha",
    ),
    "metadata pattern": (with_metadata('{"alpha_pattern": {"(a+)+": 1}}'), "it must hold layers' names"),
    "metadata patterns": (with_metadata('{"alpha_pattern": [1]}'), "alpha_pattern is not a JSON object"),
    "metadata dora": (with_metadata('{"use_dora": true}'), "is a DoRA by its metadata"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_errors_name_what_is_wrong(unet, fault):
    make, words = WRONG[fault]
    with pytest.raises(AdapterError, match=re.escape(words)):
        read(make(unet), unet)


@settings(max_examples=300)
@given(data=some.data())
def test_damaged_files_are_refused_or_read_but_never_crash(unet, data):
    content = WHOLE[data.draw(some.integers(0, len(WHOLE) - 1))].clone()
    for _ in range(data.draw(some.integers(1, 6))):
        place = data.draw(some.integers(0, min(len(content), 4000) - 1))
        content[place] = data.draw(some.integers(0, 255))
    content = content[: data.draw(some.integers(0, len(content)))] if data.draw(some.booleans()) else content
    try:
        adapter = read(content, unet)
    except AdapterError as problem:
        assert 10 < len(str(problem)) < 1500
    else:
        assert all(bool(torch.isfinite(tensor).all()) for tensor in placed(adapter))


def _whole() -> list[Tensor]:
    torch.manual_seed(3)
    network = networks.unet()
    metadata = {
        "lora_adapter_metadata": json.dumps({"unet.lora_alpha": 4, "unet.alpha_pattern": {"to_q": 1}})
    }
    made = matrices(network, ("attn1.to_q", "conv_in"))
    return [
        file(keyed(made, "diffusers"), metadata),
        file({**keyed(made, "kohya"), "lora_unet_conv_in.alpha": torch.tensor(1.0)}),
        file(own_weights(network, ("attn1.to_q",))),
    ]


WHOLE = _whole()
