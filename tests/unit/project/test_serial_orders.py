"""The judge of overlapping requests lets pass what the contract allows, and nothing else."""

from support.serial_orders import Call, Done, explains

CREATED, UPDATED = ("created", 201), ("updated", 200)
DELETED, NOTHING_THERE = ("deleted", 204), ("failed", 404)


def _call(sent_at: float, answered_at: float, *items: tuple[str | None, tuple[str, int]]) -> Call:
    return Call(sent_at, answered_at, [Done(comment, *end) for comment, end in items])


def test_requests_that_overlap_may_come_either_way() -> None:
    one, two = _call(0, 5, ("a", UPDATED)), _call(1, 4, ("b", CREATED))
    assert explains([one, two], "a")
    assert not explains([one, two], "b")


def test_a_request_that_was_answered_is_before_one_that_is_sent_then() -> None:
    assert not explains([_call(0, 1, ("a", UPDATED)), _call(2, 3, ("b", CREATED))], "a")
    assert explains([_call(0, 1, ("a", CREATED)), _call(2, 3, ("b", UPDATED))], "b")


def test_items_of_a_request_keep_their_order() -> None:
    assert explains([_call(0, 1, ("a", CREATED), ("b", UPDATED))], "b")
    assert not explains([_call(0, 1, ("a", UPDATED), ("b", CREATED))], "a")


def test_others_may_come_between_the_items_of_a_request() -> None:
    long = _call(0, 9, ("a", CREATED), ("b", CREATED), ("c", UPDATED))
    assert explains([long, _call(1, 2, (None, DELETED))], "c")
    assert not explains([long, _call(1, 2, (None, NOTHING_THERE))], "c")


def test_nothing_may_be_lost_or_come_twice() -> None:
    assert not explains([_call(0, 1, ("a", CREATED))], None)
    assert not explains([_call(0, 1, ("a", CREATED)), _call(2, 3, ("b", CREATED))], "b")
    assert explains(
        [_call(0, 1, ("a", CREATED)), _call(2, 3, (None, DELETED)), _call(4, 5, (None, NOTHING_THERE))], None
    )
