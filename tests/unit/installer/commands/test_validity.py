"""What a run says at its end of how long certificates live."""

from datetime import datetime, timedelta, timezone

from installer.commands import validity
from installer.pki import Expiry

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


def expiry(name: str, days: float, host: str = "") -> Expiry:
    return Expiry(host=host, name=name, ends=NOW + timedelta(days=days))


LONG = expiry("kubelet", 300, "n1")


def test_the_first_to_end_is_named_with_its_day() -> None:
    said = validity.summary((expiry("apiserver", 73.5, "c1"), LONG), NOW.timestamp())
    assert said == "certificates are valid for 73 days (first apiserver on c1, 2027-02-06)"
    assert list(validity.warnings((LONG,), NOW.timestamp())) == []


def test_what_ends_within_thirty_days_is_warned_of_with_what_to_do() -> None:
    soon = (expiry("proxy", -2, "n1"), expiry("kubelet", 29.5, "n1"), expiry("agent", 30.5, "n1"))
    (said,) = validity.warnings(soon, NOW.timestamp())
    assert said == (
        "certificate proxy on n1 has ended on 2026-11-22, and 1 more soon: "
        "a run of all hosts renews them"
    )
    assert "not valid any more (first proxy on n1" in validity.summary(soon, NOW.timestamp())


def test_a_leaf_that_ends_with_its_authority_is_not_promised_a_renewal() -> None:
    soon = (expiry("etcd authority", 7), expiry("etcd/server", 7, "c1"))
    said = list(validity.warnings(soon, NOW.timestamp()))
    assert said == [
        "the etcd authority ends in 7 days: romana-install rotate-ca makes another",
        "certificate etcd/server on c1 ends in 7 days",
    ]


def test_hosts_hold_the_old_ones_until_a_run_is_done() -> None:
    kept, made = (expiry("proxy", 5, "n1"),), (LONG,)
    assert validity.held(kept, made, done=False) == kept
    assert validity.held(kept, made, done=True) == made
    assert validity.held((), made, done=False) == made
    assert validity.end(kept) == "2026-11-29T12:00:00+00:00"
    assert validity.end(()) == ""
