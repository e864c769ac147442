from __future__ import annotations

import pytest
import torch

from services import json_text
from services.refusal import invalid
from tests.services import backend
from tests.services.backend import Request


class Halver:
    """Halves numbers, but refuses negative ones, stumbles over 13, and has no room for 1000."""

    inputs = ("number",)

    def __init__(self) -> None:
        self.probed = 0
        self.answered = 0

    def answer(self, request):
        self.answered += 1
        number = float(request["number"])
        if number < 0:
            raise invalid("number", "must not be negative")
        if number == 1000:
            raise torch.OutOfMemoryError("all gone, at /secret/place")
        assert number != 13, "unlucky, at /secret/place"
        return {"half": request["number"] / 2}

    def probe(self):
        self.probed += 1

    def digest(self, request):
        return "d0" * 32

    def facts(self):
        return {"probed": self.probed}


@pytest.fixture
def server(stub):
    from services.runtime.unary_server import UnaryServer

    return UnaryServer(Halver())


def number(value: float, **more) -> Request:
    return Request(number=torch.tensor([value]), **more)


def test_each_request_gets_its_own_answer_whatever_is_wrong_with_others(server):
    asked = [number(4), number(-1), number(13), number(8, cancelled=True), number(1000), number(6)]
    good, refused, failed, gone, full, last = server.answer(asked)
    assert float(good.tensors["half"]) == 2 and good.error is None
    assert refused.error.code == backend.TritonError.INVALID_ARG
    assert refused.error.message == "INVALID_FIELD: number must not be negative"
    assert failed.error.code == backend.TritonError.INTERNAL
    assert gone.error.code == backend.TritonError.CANCELLED
    assert full.error.code == backend.TritonError.UNAVAILABLE and full.error.message.startswith("BUSY: ")
    assert float(last.tensors["half"]) == 3


def test_an_internal_fault_is_logged_and_not_described(server, stub):
    (failed,) = server.answer([number(13)])
    assert "/secret" not in failed.error.message
    assert "unlucky" in stub.errors[0]


def test_a_cancelled_request_is_not_worked_on(server, stub):
    (gone,) = server.answer([number(13, cancelled=True)])
    assert gone.error.code == backend.TritonError.CANCELLED and not stub.errors


def test_a_probe_does_work_and_returns_its_numbers(server):
    known = torch.tensor([1.5, -2.0])
    (answer,) = server.answer([Request(ask=json_text.to_tensor("probe"), known=known)])
    assert torch.equal(answer.tensors["known"], known)
    # Once when the server was opened, before any request, and once now.
    assert json_text.from_tensor("facts", answer.tensors["facts"]) == {"probed": 2}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"ask": json_text.to_tensor("x" * 10_000)}, 'ask must be "facts" or "probe", not ' + repr("x" * 64)),
        ({"ask": json_text.to_tensor("probe")}, "known must come with a probe"),
        ({"ask": json_text.to_tensor("probe"), "known": torch.zeros(4097)}, "at most 4096 numbers, not 4097"),
        ({"ask": torch.full((1 << 20,), 91, dtype=torch.uint8)}, "ask has 1048576 bytes of JSON"),
    ],
)
def test_a_malformed_query_is_refused_in_short(server, told, words):
    (answer,) = server.answer([Request(**told)])
    assert answer.error.code == backend.TritonError.INVALID_ARG
    assert words in answer.error.message and len(answer.error.message) < 300


def test_a_further_query_is_answered_by_the_facts_after_it(stub):
    from services.runtime.unary_server import UnaryServer

    service = Halver()

    def double(tensors):
        if "number" not in tensors:
            raise invalid("number", "must come with it")
        service.probed += int(tensors["number"])

    server = UnaryServer(service, asks={"double": double})
    other = json_text.to_tensor("d1" * 32)
    (not_done,) = server.answer([number(3, ask=json_text.to_tensor("double"), weights=other)])
    assert not_done.error.message.startswith("OTHER_WEIGHTS: ")
    told, refused, unknown = server.answer(
        [
            number(3, ask=json_text.to_tensor("double")),
            Request(ask=json_text.to_tensor("double")),
            Request(ask=json_text.to_tensor("treble")),
        ]
    )
    assert json_text.from_tensor("facts", told.tensors["facts"]) == {"probed": 4}
    assert refused.error.message == "INVALID_FIELD: number must come with it"
    assert 'ask must be "facts" or "probe" or "double", not' in unknown.error.message


def test_facts_cost_no_work(server):
    (answer,) = server.answer([Request(ask=json_text.to_tensor("facts"))])
    assert json_text.from_tensor("facts", answer.tensors["facts"]) == {"probed": 1}


def test_inputs_are_copied_out_of_tritons_memory(server):
    lent = number(4)
    (answer,) = server.answer([lent])
    lent.tensors["number"].fill_(0)
    assert float(answer.tensors["half"]) == 2


def test_equal_requests_are_computed_once_and_a_refusal_is_not_cached(stub):
    from services.runtime.unary_server import UnaryServer

    service = Halver()
    server = UnaryServer(service, cache_bytes=8)
    first, again, other = server.answer([number(4), number(4), number(6)])
    assert torch.equal(first.tensors["half"], again.tensors["half"])
    assert float(other.tensors["half"]) == 3
    assert service.answered == 2
    for _ in range(2):
        (refused,) = server.answer([number(-1)])
        assert refused.error.message == "INVALID_FIELD: number must not be negative"
    assert service.answered == 4
    # Other numbers, or the same in another shape, are other questions; there is room for two answers.
    server.answer([Request(number=torch.tensor([[4.0]])), number(8), number(4)])
    assert service.answered == 7
    (answer,) = server.answer([Request(ask=json_text.to_tensor("facts"))])
    assert json_text.from_tensor("facts", answer.tensors["facts"])["kept"]["hits"] == 1


def test_a_request_for_other_weights_is_refused_also_where_its_answer_is_cached(stub):
    from services.runtime.unary_server import UnaryServer

    service = Halver()
    server = UnaryServer(service, cache_bytes=8)
    ours, theirs = json_text.to_tensor("d0" * 32), json_text.to_tensor("d1" * 32)
    answer, refused, again = server.answer([number(4, weights=ours), number(4, weights=theirs), number(4)])
    assert float(answer.tensors["half"]) == float(again.tensors["half"]) == 2
    assert service.answered == 1, "whether the weights are named does not matter to the cache"
    assert refused.error.code == backend.TritonError.NOT_FOUND
    assert refused.error.message.startswith(f"OTHER_WEIGHTS: the weights here have the digest {'d0' * 32}")


def test_only_answers_to_requests_with_the_chosen_input_are_cached(stub):
    from services.runtime.unary_server import UnaryServer

    class Either(Halver):
        inputs = ("number", "other")

    service = Either()
    server = UnaryServer(service, cache_bytes=8, cache_only=("other",))
    server.answer([number(4), number(4)])
    assert service.answered == 2
    server.answer([number(4, other=torch.ones(1)), number(4, other=torch.ones(1))])
    assert service.answered == 3


def test_a_model_that_cannot_do_its_work_does_not_start(stub):
    from services.runtime.unary_server import UnaryServer

    class Broken(Halver):
        def probe(self):
            raise RuntimeError("no kernel for this device")

    with pytest.raises(RuntimeError, match="no kernel"):
        UnaryServer(Broken())
