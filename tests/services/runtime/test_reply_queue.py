"""The queue of replies, against senders that wait, break and tell when they are asked."""

from __future__ import annotations

import itertools
import queue

import pytest

from tests.services.backend import ResponseSender, TritonModelException
from tests.services.clock import Clock

FINAL = 1


class Asked:
    """A sender that writes down when it is asked."""

    def __init__(self, asked: list[Asked]) -> None:
        self._asked = asked

    def is_cancelled(self) -> bool:
        self._asked.append(self)
        return False


@pytest.fixture
def replies(stub):
    from services.runtime.reply_queue import ReplyQueue

    opened = ReplyQueue()
    yield opened
    opened.close()


def test_replies_are_sent_in_order_and_all_before_the_queue_is_closed(replies):
    senders = [ResponseSender() for _ in range(3)]
    streams = [replies.open(sender) for sender in senders]
    for number in range(50):
        for stream in streams:
            stream.put(number, last=number == 49)
    replies.close()
    for sender in senders:
        assert sender.sent == [*((number, 0) for number in range(49)), (49, FINAL)]


def test_who_puts_a_reply_waits_neither_for_its_caller_nor_for_anothers(replies):
    slow, quick = ResponseSender(), ResponseSender()
    slow.ready.clear()
    one, other = replies.open(slow), replies.open(quick)
    one.put("first")
    one.put("second", last=True)
    other.put("third", last=True)
    assert slow.sent == []
    slow.ready.set()
    assert quick.over.wait(20)
    assert slow.sent == [("first", 0), ("second", FINAL)]


def test_a_backlog_keeps_the_newest_progress_and_every_other_reply(replies):
    sender = ResponseSender()
    sender.ready.clear()
    stream = replies.open(sender)
    for number in range(1, 2001):
        stream.put(number, progress=number % 500 != 0)
    stream.put("the end", last=True)
    sender.ready.set()
    replies.close()
    sent = [message for message, _ in sender.sent]
    assert sent[-1] == "the end" and sender.sent[-1][1] == FINAL
    numbers = sent[:-1]
    assert numbers == sorted(numbers) and len(numbers) < 100
    assert {500, 1000, 1500, 2000} <= set(numbers), "previews and checkpoints are not left out"
    assert 1999 in numbers, "nor is the newest progress before one"


def test_a_caller_that_goes_is_noticed_without_a_reply(replies):
    sender, another = ResponseSender(), ResponseSender()
    stream = replies.open(sender)
    assert sender.asked.wait(20)
    assert not stream.gone
    sender.cancelled = True
    sender.asked.clear()
    assert sender.asked.wait(20)
    replies.open(another).put("anything", last=True)
    assert another.over.wait(20)  # by the thread that asked
    assert stream.gone
    stream.put("cancelled", last=True)
    assert sender.over.wait(20)


def test_nobody_is_asked_about_after_the_last_reply(stub):
    from services.runtime.reply_queue import ReplyQueue

    seconds = itertools.count()
    replies = ReplyQueue(clock=lambda: float(next(seconds)))  # a round of questions is always due
    senders = [ResponseSender() for _ in range(20)]
    stays = ResponseSender()
    replies.open(stays)
    for sender in senders:
        stream = replies.open(sender)
        stream.put("a step", progress=True)
        stream.put("the end", last=True)
    for sender in senders:
        assert sender.over.wait(20)
    for _ in range(3):
        stays.asked.clear()
        assert stays.asked.wait(20)
    replies.close()
    assert not any(sender.asked_too_late for sender in senders)


@pytest.mark.parametrize(
    ("callers", "pause"), [(1, 0.004), (2, 0.008), (6, 0.024), (7, 0.025), (64, 0.025), (1000, 0.025)]
)
def test_the_pause_between_two_rounds_of_questions_grows_with_the_callers_and_is_bounded(
    stub, callers, pause
):
    from services.runtime.reply_queue import ReplyStream, _Questions

    clock, asked = Clock(), []
    questions = _Questions(clock)
    assert questions.pause() is None, "there is nobody to ask about"
    streams = [ReplyStream(Asked(asked), queue.SimpleQueue()) for _ in range(callers)]
    for stream in streams:
        questions.follow(stream)
    assert questions.pause() == pytest.approx(0.004), "the first caller is asked about soon, whoever follows"
    for _ in range(3):
        clock.now += questions.pause() - 1e-6
        questions.ask_next()
        assert asked == [], "nobody is asked about too early"
        clock.now += 2e-6
        for _ in range(callers):
            questions.ask_next()
        assert asked == [stream._sender for stream in streams], "a round asks about everybody once"
        asked.clear()
        assert questions.pause() == pytest.approx(pause)
    for stream in streams[1:]:
        stream.over = True
        questions.follow(stream)
    clock.now += questions.pause()
    questions.ask_next()
    assert questions.pause() == pytest.approx(0.004), "one is left"


@pytest.mark.parametrize("fault", [TritonModelException("nobody takes it"), RuntimeError("no shared memory")])
def test_a_reply_that_cannot_be_delivered_means_that_its_caller_has_gone(replies, stub, fault):
    broken, sound = ResponseSender(), ResponseSender()
    broken.broken = fault
    gone, stays = replies.open(broken), replies.open(sound)
    gone.put("a step")
    stays.put("the end", last=True)
    assert sound.over.wait(20)
    assert gone.gone and not stays.gone
    assert str(fault) in stub.errors[0]


def test_a_caller_that_cannot_be_asked_about_has_gone_and_others_are_answered(replies):
    broken, sound = ResponseSender(), ResponseSender()
    broken.broken = RuntimeError("no shared memory")
    gone, stays = replies.open(broken), replies.open(sound)
    assert broken.asked.wait(20)
    stays.put("the end", last=True)
    assert sound.over.wait(20)
    assert gone.gone and not stays.gone
