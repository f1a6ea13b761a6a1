"""Faults by name, as /healthz shows them."""

from mq9fast.health import Health


def test_health_without_a_fault_is_ok() -> None:
    health = Health()
    assert health.ok and health.reasons == []


def test_fault_stays_until_it_is_cleared() -> None:
    health = Health()
    health.report("disk", "the disk is full")
    health.report("writes", "the store does not accept writes: x")
    health.report("writes", "the store does not accept writes: y")
    assert not health.ok
    assert health.reasons == ["the disk is full", "the store does not accept writes: y"]
    health.clear("disk")
    health.clear("disk")
    assert health.has("writes") and not health.has("disk")
    health.clear("writes")
    assert health.ok
