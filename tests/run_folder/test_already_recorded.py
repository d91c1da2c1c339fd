from dux_agent.run_folder.already_recorded import AlreadyRecorded
from dux_agent.run_folder.trace import Event


def tail_of(events):
    return AlreadyRecorded([(10 * place, event) for place, event in enumerate(events)])


def event(kind, step=5, decision=1, time=0.0, **data):
    return Event(time, step, decision, kind, data)


def test_an_event_that_was_recorded_is_met_once_for_each_time():
    told = event("error", error="Timeout", message="gone")
    tail = tail_of([told, told])

    assert [told, told, None] == [tail.take(told) for _ in range(3)]


def test_times_do_not_tell_events_apart_and_contents_do():
    tail = tail_of([event("reply", prompt="p", content="a", time=1.0)])

    assert tail.take(event("reply", prompt="p", content="b")) is None
    assert tail.take(event("reply", prompt="q", content="a")) is None
    assert tail.take(event("reply", prompt="p", content="a", time=9.0)) is not None


def test_losses_are_told_apart_by_their_place():
    tail = tail_of([event("loss", decision=None, loss=1.0)])
    epoch = event("loss", decision=None, loss=1.0, scope="epoch", epoch=1)

    assert tail.take(epoch) is None
    assert tail.take(event("loss", decision=None, loss=1.5)) is not None


def test_a_reply_that_was_paid_is_found_by_its_prompt():
    tail = tail_of([event("reply", prompt="p", content="a")])

    assert "a" == tail.reply_to(1, "p").data["content"]
    assert tail.reply_to(2, "p") is None
    assert tail.reply_to(1, "q") is None


def test_another_verdict_than_the_recorded_one_is_a_contradiction():
    tail = tail_of([event("apply", digest="d", verdict="applied")])

    assert "applied" == tail.contradicts(event("apply", verdict="kept")).data["verdict"]
    assert tail.contradicts(event("apply", decision=2, verdict="kept")) is None
    assert tail.contradicts(event("rollback", digest="d")) is None


def test_the_place_to_go_on_from_is_that_of_the_first_event_still_to_be_met():
    told = [event("observation"), event("prompt", digest="p"), event("loss", step=9)]
    tail = tail_of(told)

    places = [tail.first, *(tail.take(one) and tail.first for one in told[:2])]

    assert [0, 10, 20] == places


def test_when_a_decision_begins_what_earlier_ones_skipped_is_no_longer_awaited():
    skipped = event("prompt", digest="p")
    early, late = (event("rollback", step=step, digest="d") for step in (7, 12))
    tail = tail_of([skipped, early, late])

    tail.take(event("observation", decision=2, step=10))

    assert 20 == tail.first
    assert late == tail.take(late)
