"""A Triton in this process: the real protocol, with models that are a few lines of numpy.

Models are held at any step and released by events, so tests wait for what happens, not for time to pass.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as kserve
from tritonclient.grpc import service_pb2_grpc as kserve_grpc

from orchestrator.triton import tensors
from orchestrator.triton.tensors import Tensors, from_text, text

FACTOR = 8


class Refused(Exception):
    """What a model answers instead of tensors."""

    def __init__(self, words: str, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT) -> None:
        super().__init__(words)
        self.words, self.code = words, code


class Sam:
    """Finds a disc round the first click, and a larger one; or an ellipse in a box; or what it knows by name.

    Corrections add a disc of 10 pixels round every click on the thing, and take one away beside it. In clips
    it follows a colour: the mean of what it was last shown.
    """

    def __init__(self) -> None:
        self.knows_words, self.weights = False, "5a" * 32
        self.things: dict[str, list[tuple[tuple[int, int, int, int], float]]] = {}  # boxes and their scores
        self.asked: list[Tensors] = []
        self.refuses = ""  # a phrase
        self.known: dict[bytes, np.ndarray] = {}
        self.pictures_received = 0
        self.size, self.clips = 64, 4
        self.lookahead = 2
        self.ahead: dict[
            tuple[bytes, int], np.ndarray
        ] = {}  # frames that were sent ahead, by clip and number
        self.most_ahead = 0  # at any time
        self.drops: list[int] = []  # frames that were sent ahead and are not there when they are asked for
        self.followed: dict[bytes, tuple[int, np.ndarray]] = {}  # first frame and colour, by clip
        self.frames: list[tuple[int, bool, tuple[int, ...]]] = []  # number, whether shown, and size
        self.forgets_at: list[int] = []  # frames before which all clips are forgotten, once each
        self.reached: dict[int, asyncio.Event] = {}  # set when a frame is asked about
        self.hold_at: int | None = None  # a frame that is not answered before `go_on`
        self.go_on = asyncio.Event()

    async def answer(self, inputs: Tensors) -> AsyncIterator[Tensors]:
        if "ask" in inputs:
            self._asked(inputs)
            ahead, capacity = {"lookahead": self.lookahead}, {"clips": self.clips}
            facts = {"weights": self.weights, "words": self.knows_words, "size": self.size, "ahead": ahead}
            yield {"facts": text({**facts, "capacity": capacity})}
            return
        _check_weights(inputs, self.weights)
        if "clip" in inputs:
            yield await self._followed(inputs)
            return
        if "picture" in inputs:
            self.pictures_received += 1
            picture = inputs["picture"]
            height, width, _ = picture.shape
            key = hashlib.sha256(f"{height}x{width}:".encode() + picture.tobytes()).digest()
            self.known[key] = picture
        else:
            key = inputs["picture_key"].tobytes()
            if key not in self.known:
                raise Refused("UNKNOWN_PICTURE: send its pixels", grpc.StatusCode.NOT_FOUND)
            height, width, _ = self.known[key].shape
        self.asked.append(inputs)
        y, x = np.mgrid[:height, :width] + 0.5
        if "words" in inputs:
            yield self._named(from_text(inputs["words"]), float(inputs["threshold"][0]), height, width)
            return
        if "mask" in inputs:
            corrected = inputs["mask"].copy()
            for across, down, label in inputs["points"]:
                corrected[np.hypot(x - across, y - down) <= 10] = label
            yield {"masks": corrected[np.newaxis], "scores": np.array([0.7], np.float32)}
            return
        if "points" in inputs:
            middle, radius = inputs["points"][0][:2], min(height, width) / 6
        else:
            left, top, right, bottom = inputs["box"]
            middle, radius = ((left + right) / 2, (top + bottom) / 2), min(right - left, bottom - top) / 2
        away = np.hypot(x - middle[0], y - middle[1])
        masks = np.stack([away <= radius, away <= 1.5 * radius]).astype(np.uint8)
        yield {"masks": masks, "scores": np.array([0.9, 0.6], np.float32)}

    def _asked(self, inputs: Tensors) -> None:
        if from_text(inputs["ask"]) == "forget":
            self.followed.pop(inputs["clip"].tobytes(), None)
            for clip, frame in list(self.ahead):
                if clip == inputs["clip"].tobytes():
                    del self.ahead[clip, frame]
        if from_text(inputs["ask"]) == "embed":
            clip, frame = inputs["clip"].tobytes(), int(inputs["frame"][0])
            self.ahead[clip, frame] = inputs["picture"]
            self.most_ahead = max(self.most_ahead, len(self.ahead))

    async def _followed(self, inputs: Tensors) -> Tensors:
        clip, frame = inputs["clip"].tobytes(), int(inputs["frame"][0])
        if frame in self.drops:
            self.drops.remove(frame)
            self.ahead.pop((clip, frame), None)
        picture = inputs["picture"] if "picture" in inputs else self.ahead.pop((clip, frame), None)
        if picture is None:
            raise Refused("UNKNOWN_PICTURE: send its picture", grpc.StatusCode.NOT_FOUND)
        self.frames.append((frame, "mask" in inputs, picture.shape))
        if frame in self.forgets_at:
            self.forgets_at.remove(frame)
            self.followed.clear()
        if frame in self.reached:
            self.reached[frame].set()
        if frame == self.hold_at:
            await self.go_on.wait()
        if "mask" in inputs:
            begun, _ = self.followed.get(clip, (frame, None))
            self.followed[clip] = (begun, picture[inputs["mask"] > 0].mean(axis=0))
        if clip not in self.followed:
            raise Refused("UNKNOWN_CLIP: begin again with a mask", grpc.StatusCode.NOT_FOUND)
        begun, colour = self.followed[clip]
        near = np.abs(picture - colour).max(axis=2) < 60
        logits = np.where(near, np.float32(10), np.float32(-10))
        presence = np.array([0.99 if near.any() else 0.02], np.float32)
        return {"logits": logits, "presence": presence, "begun": np.array([begun], np.int32)}

    def _named(self, phrase: str, threshold: float, height: int, width: int) -> Tensors:
        if phrase == self.refuses:
            raise Refused("INVALID_FIELD: words cannot be read")
        things = self.things.get(phrase, [])
        masks = np.zeros((len(things), height, width), np.uint8)
        for mask, ((left, top, right, bottom), _) in zip(masks, things, strict=True):
            mask[top:bottom, left:right] = 1
        scores = np.array([score for _, score in things], np.float32)
        enough, best = scores >= threshold, scores.max(initial=0.0)
        return {"masks": masks[enough], "scores": scores[enough], "best": np.array([best], np.float32)}


class TextEncoder:
    """Numbers drawn from the words' digest; reads forty characters."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.weights = "7e" * 32

    async def answer(self, inputs: Tensors) -> AsyncIterator[Tensors]:
        if "ask" in inputs:
            yield {"facts": text({"families": _families(self.weights)})}
            return
        _check_weights(inputs, self.weights)
        words = from_text(inputs["text"])
        self.asked.append(words)
        digest = hashlib.sha256(words[:40].encode()).digest()
        embedding = np.frombuffer(digest, np.uint8).reshape(8, 4).astype(np.float32) / 255
        yield {"embedding": embedding, "dropped": text(words[40:])}


class Vae:
    """Means over cells of 8 x 8 pixels."""

    def __init__(self) -> None:
        self.decoded, self.weights = 0, "0a" * 32

    async def answer(self, inputs: Tensors) -> AsyncIterator[Tensors]:
        if "ask" in inputs:
            yield {"facts": text({"families": _families(self.weights)})}
            return
        _check_weights(inputs, self.weights)
        if "latents" not in inputs:
            sheet = inputs["pixels"] / 127.5 - 1 if "pixels" in inputs else inputs["picture"]
            _, height, width = sheet.shape
            cells = sheet.reshape(3, height // FACTOR, FACTOR, width // FACTOR, FACTOR)
            means = cells.mean(axis=(2, 4), dtype=np.float32)
            encoded = np.concatenate([means, np.zeros_like(means[:1])])
            yield {"encoded": encoded, "spread": np.full_like(encoded, 0.01)}
        else:
            self.decoded += 1
            decoded = inputs["latents"][:3].repeat(FACTOR, axis=1).repeat(FACTOR, axis=2)
            if "depth" in inputs:
                yield {"pixels": np.rint(np.clip(decoded / 2 + 0.5, 0, 1) * 255).astype(np.uint8)}
            else:
                yield {"decoded": decoded}


class Denoiser:
    """Goes evenly from the source to its negative. Holds before any step that is not yet allowed."""

    guidance: ClassVar[dict[str, float]] = {"guidance": 7.5, "picture_guidance": 1.5}
    preparation: ClassVar[dict[str, int]] = {}

    def __init__(self) -> None:
        self.size, self.weights = 128, "d0" * 32
        self.hold_at: int | None = None  # before this step, counted from 0
        self.held, self.holding = asyncio.Event(), 0
        self.go_on = asyncio.Event()
        self.left = asyncio.Event()  # a request was cancelled while it was held
        self.refusals: list[Refused] = []  # answered first, one per request
        self.requests: list[Tensors] = []
        self.steps = 0  # taken in all
        self.seconds = 0.001  # of a network evaluation
        self.cost_questions: list[dict[str, Any]] = []
        self.adapters: dict[str, bytes] = {}  # by key; those that begin with `bad` fit nothing
        self.uploads: list[bytes] = []  # of adapters
        self.requests_before_uploads = 0  # an upload is answered after so many requests
        self.requested = asyncio.Condition()
        self.room = 1 << 20  # bytes of all adapters; those that came first leave for others
        self.capacity = {"full_pass": 4, "fit": 100, "running": 64, "waiting": 256}

    async def answer(self, inputs: Tensors) -> AsyncIterator[Tensors]:
        if "adapter" in inputs:
            self.uploads.append(inputs["adapter"].tobytes())
            async with self.requested:
                await self.requested.wait_for(lambda: len(self.requests) >= self.requests_before_uploads)
            yield {"facts": text(self._fitted(self.uploads[-1]))}
            return
        if "cost" in inputs:
            self.cost_questions.append(from_text(inputs["cost"]))
            yield {"facts": text(self._cost(self.cost_questions[-1]))}
            return
        if "ask" in inputs:
            facts = {"weights": self.weights, "factor": FACTOR, "size": self.size, "multiple": FACTOR}
            facts |= {"adapters": {"budget_bytes": self.room}, "preparation": self.preparation}
            facts["path"] = "eager"
            facts["capacity"] = self.capacity
            facts["guidance"] = {name: {"default": value} for name, value in self.guidance.items()}
            defaults = {"steps": 20, "scheduler": "euler"}
            yield {"facts": text({**facts, "defaults": defaults, "schedulers": ["ddim", "euler"]})}
            return
        self.requests.append(inputs)
        async with self.requested:
            self.requested.notify_all()
        if self.refusals:
            raise self.refusals.pop(0)
        _check_weights(inputs, self.weights)
        for worn in from_text(inputs["adapters"]) if "adapters" in inputs else ():
            if worn["key"] not in self.adapters:
                raise Refused("UNKNOWN_ADAPTER: send its file", grpc.StatusCode.NOT_FOUND)
        steps, every = int(inputs["steps"][0]), int(inputs["preview_every"][0])
        for step in range(steps):
            if step == self.hold_at:
                await self._hold()
            done = step + 1
            self.steps += 1
            beat: dict[str, np.ndarray] = {"progress": np.array([done, steps], np.int32)}
            if done == steps or (every and done % every == 0):
                beat["latents"] = self._latents(inputs, done, steps)
            yield beat

    def _latents(self, inputs: Tensors, done: int, steps: int) -> np.ndarray:
        return (inputs["source"] * (1 - 2 * done / steps)).astype(np.float32)

    def _cost(self, question: dict[str, Any]) -> dict[str, Any]:
        """With equal prompts one evaluation less than there are numbers of guidance, and one."""
        evaluations = len(self.guidance) + (not question["equal_prompts"])
        steps = len(question["sheets"]) * question["steps"] * question["candidates"]
        return {"evaluations": evaluations, "seconds": evaluations * steps * self.seconds}

    def _fitted(self, data: bytes) -> dict[str, object]:
        if data.startswith(b"bad"):
            raise Refused("INVALID_FIELD: adapter fits no layer of this network")
        key = hashlib.sha256(data).hexdigest()
        self.adapters[key] = data
        while sum(map(len, self.adapters.values())) > self.room:
            del self.adapters[next(iter(self.adapters))]
        counts = {"rank": 4, "matched": 16, "unexpected_count": 1, "parameters": 1024}
        told = {"unexpected": ["te.key"], "weights": self.weights, "metadata": {"made": "by hand"}}
        return {"key": key, "kind": "lora", "layout": "peft", **counts, **told}

    async def _hold(self) -> None:
        self.holding += 1
        self.held.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise
        finally:
            self.holding -= 1


class Filler(Denoiser):
    """Goes evenly from what is around the hole to white in it."""

    guidance: ClassVar[dict[str, float]] = {"guidance": 7.5}
    preparation: ClassVar[dict[str, int]] = {"margin": 4}

    def __init__(self) -> None:
        super().__init__()
        self.weights = "f1" * 32

    def _latents(self, inputs: Tensors, done: int, steps: int) -> np.ndarray:
        return (inputs["source"] + inputs["hole"] * done / steps).astype(np.float32)


def _check_weights(inputs: Tensors, weights: str) -> None:
    if "weights" in inputs and from_text(inputs["weights"]) != weights:
        raise Refused("OTHER_WEIGHTS: the weights here have another digest", grpc.StatusCode.NOT_FOUND)


def _families(weights: str) -> dict[str, dict[str, str]]:
    return {name: {"weights": weights} for name in ("ip2p", "sd2_inpaint")}


class Triton(kserve_grpc.GRPCInferenceServiceServicer):
    """Serves the five models."""

    def __init__(self) -> None:
        self.sam, self.text_encoder, self.vae, self.ip2p_unet = Sam(), TextEncoder(), Vae(), Denoiser()
        self.sd2_inpaint = Filler()
        self.limits: list[int] = []  # the time limits that requests came with, in microseconds
        self.queries = 0  # questions about facts
        self.broken: dict[str, Refused] = {}  # models that refuse whatever they are asked
        self.ends_badly = False  # streams break after their last reply
        self._server = grpc.aio.server(
            options=(("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
        )
        kserve_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.url = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    async def __aenter__(self) -> Triton:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        await self._server.stop(0)

    async def ModelInfer(
        self, request: kserve.ModelInferRequest, context: grpc.aio.ServicerContext
    ) -> kserve.ModelInferResponse:
        try:
            return await anext(self._answers(request))
        except Refused as refused:
            await context.abort(refused.code, refused.words)
            raise

    async def ModelStreamInfer(
        self, request_iterator: AsyncIterator[kserve.ModelInferRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[kserve.ModelStreamInferResponse]:
        async for request in request_iterator:
            try:
                async for answer in self._answers(request):
                    yield kserve.ModelStreamInferResponse(infer_response=answer)
                last = kserve.ModelInferResponse(model_name=request.model_name)
                last.parameters["triton_final_response"].bool_param = True
                yield kserve.ModelStreamInferResponse(infer_response=last)
            except Refused as refused:
                if refused.code is grpc.StatusCode.UNAVAILABLE:  # the server itself, not a model of its
                    await context.abort(refused.code, refused.words)
                yield kserve.ModelStreamInferResponse(error_message=refused.words)
        if self.ends_badly:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")

    async def _answers(self, request: kserve.ModelInferRequest) -> AsyncIterator[kserve.ModelInferResponse]:
        if request.parameters["timeout"].int64_param:
            self.limits.append(request.parameters["timeout"].int64_param)
        if request.model_name in self.broken:
            raise self.broken[request.model_name]
        inputs = _inputs(request)
        self.queries += "ask" in inputs and from_text(inputs["ask"]) == "facts"
        async for outputs in getattr(self, request.model_name).answer(inputs):
            yield _response(request.model_name, outputs)


def _inputs(request: kserve.ModelInferRequest) -> Tensors:
    as_answer = kserve.ModelInferResponse(model_name=request.model_name)
    for tensor in request.inputs:
        as_answer.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    as_answer.raw_output_contents.extend(request.raw_input_contents)
    return tensors.answer(as_answer)


def _response(model: str, outputs: Tensors) -> kserve.ModelInferResponse:
    as_request = tensors.request(model, outputs)
    response = kserve.ModelInferResponse(model_name=model)
    for tensor in as_request.inputs:
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    response.raw_output_contents.extend(as_request.raw_input_contents)
    return response
