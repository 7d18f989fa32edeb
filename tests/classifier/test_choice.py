"""What classifiers cost, and which is chosen."""

import pytest

from opensphere.classifier.choice import choose, cost_of

MB = 1e6


def test_few_scores_are_plain() -> None:
    kind, why = choose(1000, 512, 128, 1, 300.0)
    assert kind == "plain" and why == "classifier plain: the scores of 128 rows and 1,000 classes take 3 MB in all"


def test_many_are_walked_in_blocks() -> None:
    kind, why = choose(1_000_000, 512, 512, 1, 300.0, available=24e9)
    assert kind == "chunked" and "plain would take 12.3 GB for scores, blocks take at most 300 MB" in why
    assert "free" not in why


def test_several_processes_share_the_classes() -> None:
    kind, why = choose(1000, 512, 128, 4, 300.0)
    assert kind == "sharded" and "each of 4 processes holds and walks its share of the 1,000 classes" in why


def test_what_does_not_fit_is_said_with_a_way_out() -> None:
    _, why = choose(10_000_000, 512, 512, 1, 300.0, available=24e9)
    assert "weights, gradient and momentum take 61.4 GB, but 24.0 GB are free: fused: true" in why


def test_costs_by_hand() -> None:
    matrix = 85_000 * 512 * 4
    plain = cost_of("plain", 85_000, 512, 512)
    assert (plain.weights, plain.gradient, plain.momentum, plain.sent) == (matrix, matrix, matrix, 0)
    assert plain.working == 6 * 512 * 85_000 * 4 and plain.total == 3 * matrix + plain.working
    chunked = cost_of("chunked", 85_000, 512, 512, fused=True)
    assert chunked.gradient == 0 and chunked.working < 300 * MB
    shard = cost_of("sharded", 85_000, 512, 512, world_size=8)
    assert shard.classes == 85_000 // 8 and shard.weights == shard.classes * 512 * 4
    assert cost_of("sharded", 85_000, 512, 512).sent == 0


@pytest.mark.parametrize("memory", [0.0, 50.0, 300.0, 3000.0])
def test_blocks_stay_within_the_memory(memory: float) -> None:
    least = cost_of("chunked", 1_000_000, 512, 512, memory=0.0).working
    assert cost_of("chunked", 1_000_000, 512, 512, memory=memory).working <= max(memory * MB, least)


def test_messages_do_not_grow_with_people() -> None:
    sent = {cost_of("sharded", people, 512, 512, world_size=8).sent for people in (10**6, 10**8)}
    assert len(sent) == 1
