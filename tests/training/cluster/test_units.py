"""Scheduling on a pool that only plays what it is told: no training, no Ray."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from podium.training.cluster.units import RETRIES, Event, Order, Resources, Scheduler, Unit

Story = list[tuple[str, Any]]  # kinds and data of the events of one attempt


@dataclass
class Stories:
    """A pool whose units go as their stories tell, an attempt after the other."""

    stories: dict[str, list[Story]]
    has_gpus: bool = False
    largest_node: int = 4
    submitted: list[tuple[str, int, Order]] = field(default_factory=list)
    cancelled: bool = False

    def __post_init__(self) -> None:
        self.coming: list[Event] = []

    def put(self, data: bytes) -> bytes:
        return data

    def slots(self, resources: Resources) -> int:
        return 2

    def submit(self, unit: str, attempt: int, order: Order, resources: Resources) -> None:
        self.submitted.append((unit, attempt, order))
        self.coming += [Event(unit, attempt, *each) for each in self.stories[unit][attempt - 1]]

    def events(self) -> list[Event]:
        if not self.coming:
            raise KeyboardInterrupt  # nothing would ever come: the user gives up
        event, *self.coming = self.coming
        return [event]

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Told:
    """What became of units, and the states that came back."""

    done: dict[str, bytes] = field(default_factory=dict)
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    states: list[bytes] = field(default_factory=list)

    def unit(self, name: str) -> Unit:
        return Unit(
            name,
            Resources(),
            order=lambda: {"state": self.states[-1] if self.states else None},
            take=lambda result: self.done.update({name: result}),
            fail=lambda *failure: self.failed.update({name: failure}),
            keep_state=self.states.append,
        )


BEGAN, DIED = ("began", "node-a"), ("lost", "NodeDiedError")


@pytest.fixture
def told() -> Iterator[Told]:
    return Told()


def scheduled(told: Told, **stories: list[Story]) -> Stories:
    pool = Stories(stories)
    scheduler = Scheduler(pool)
    for name in stories:
        scheduler.add(told.unit(name))
    scheduler.run()
    return pool


def test_each_unit_is_done_once(told: Told) -> None:
    pool = scheduled(told, a=[[BEGAN, ("done", b"A")]], b=[[BEGAN, ("done", b"B")]])
    assert told.done == {"a": b"A", "b": b"B"}
    assert [(name, attempt) for name, attempt, _ in pool.submitted] == [("a", 1), ("b", 1)]


def test_a_unit_whose_node_died_goes_on_from_its_state(told: Told) -> None:
    pool = scheduled(told, a=[[BEGAN, ("state", b"half"), DIED], [BEGAN, ("done", b"A")]])
    assert told.done == {"a": b"A"}
    assert [order["state"] for *_, order in pool.submitted] == [None, b"half"]


def test_a_unit_is_tried_again_so_often_and_the_others_go_on(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = scheduled(told, a=[[BEGAN, DIED]] * (RETRIES + 1), b=[[BEGAN, ("done", b"B")]])
    assert told.failed == {"a": DIED}
    assert told.done == {"b": b"B"}
    assert [name for name, *_ in pool.submitted].count("a") == RETRIES + 1
    assert "a lost on node-a (NodeDiedError): tried again, 1 of 3 times" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["failed", "diverged"])
def test_a_mistake_ends_its_unit_alone_and_is_not_tried_again(told: Told, kind: str) -> None:
    pool = scheduled(told, a=[[BEGAN, (kind, "no such weights")]], b=[[BEGAN, ("done", b"B")]])
    assert told.failed == {"a": (kind, "no such weights")}
    assert told.done == {"b": b"B"}
    assert len(pool.submitted) == 2


def test_what_an_attempt_tells_that_was_given_up_is_not_taken(told: Told) -> None:
    """A node that was cut off trains on, and comes back with its fold."""
    late = Event("a", 1, "done", b"old"), Event("a", 1, "state", b"old")
    pool = Stories({"a": [[DIED], [("done", b"new")]]})
    scheduler = Scheduler(pool)
    scheduler.add(told.unit("a"))
    pool.coming[1:1] = late
    scheduler.run()
    assert told.done == {"a": b"new"}
    assert told.states == []


def test_a_result_that_is_refused_fails_its_unit(told: Told) -> None:
    pool = Stories({"a": [[("done", b"damaged")]]})

    def refuse(result: bytes) -> None:
        raise ValueError(f"came {result!r}")

    unit = told.unit("a")
    unit.take = refuse
    scheduler = Scheduler(pool)
    scheduler.add(unit)
    scheduler.run()
    assert told.failed == {"a": ("failed", "came b'damaged'")}


def test_units_are_added_while_others_run(told: Told) -> None:
    pool = Stories({"a": [[("done", b"A")]], "b": [[("done", b"B")]]})
    scheduler = Scheduler(pool)
    first = told.unit("a")
    first.take = lambda result: scheduler.add(told.unit("b"))
    scheduler.add(first)
    scheduler.run()
    assert told.done == {"b": b"B"}


def test_two_units_of_one_name_are_refused(told: Told) -> None:
    scheduler = Scheduler(Stories({"a": [[("done", b"A")]]}))
    scheduler.add(told.unit("a"))
    with pytest.raises(ValueError, match="a is on the cluster already"):
        scheduler.add(told.unit("a"))


def test_an_interruption_ends_what_runs_and_keeps_what_is_done(told: Told) -> None:
    pool = Stories({"a": [[("done", b"A")]], "b": [[BEGAN]]})
    scheduler = Scheduler(pool)
    for name in pool.stories:
        scheduler.add(told.unit(name))
    with pytest.raises(KeyboardInterrupt):
        scheduler.run()
    assert pool.cancelled
    assert told.done == {"a": b"A"}


def test_what_runs_where_is_shown(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    scheduled(
        told,
        a=[[BEGAN, ("epoch", "stage 1, epoch 1 of 2"), ("done", b"A")]],
        b=[[BEGAN, ("done", b"B")]],
    )
    printed = capsys.readouterr().out
    assert "running  on      at\na        node-a\n1 waiting\n" in printed
    assert "a stage 1, epoch 1 of 2, on node-a\n" in printed
