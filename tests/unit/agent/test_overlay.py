"""Snapshots of a large mapping: each stays as it was, and equals a copy."""

from hypothesis import given
from hypothesis import strategies as st

from romana.agent import overlay
from romana.agent.overlay import Frozen
from romana.agent.store import Store
from romana.objects import Pod
from romana.sources.kinds import BY_TYPE, KINDS

POD = BY_TYPE["v1", "Pod"]

acts = st.lists(
    st.tuples(st.sampled_from(("put", "remove", "replace", "snapshot")), st.integers(0, 9)),
    max_size=40,
)


def pod(number, label=""):
    return Pod(namespace="x", name=str(number), labels={"l": label})


@given(acts, st.sampled_from((1, 3, 100)))
def test_a_snapshot_equals_a_copy_and_stays_as_it_is(steps, share):
    small, overlay.SMALL, usual, overlay.SHARE = overlay.SMALL, 0, overlay.SHARE, share
    try:
        frozen, objects, taken = Frozen(), {}, []
        for turn, (act, number) in enumerate(steps):
            obj = pod(number, str(turn))
            if act == "put":
                objects[obj.key] = obj
                frozen.change(obj.key, obj)
            elif act == "remove" and objects.pop(obj.key, None):
                frozen.change(obj.key, None)
            elif act == "replace":
                objects = {obj.key: obj}
                frozen.replace()
            else:
                taken.append((frozen.snapshot(objects), dict(objects)))
        taken.append((frozen.snapshot(objects), dict(objects)))
    finally:
        overlay.SMALL, overlay.SHARE = small, usual
    assert frozen.snapshot(objects) is taken[-1][0]
    for snapshot, copy in taken:
        assert dict(snapshot) == dict(snapshot.items()) == copy
        assert {obj.key: obj for obj in snapshot.values()} == copy
        assert len(snapshot) == len(copy)
        assert [snapshot.get(pod(n).key) for n in range(10)] == [
            copy.get(pod(n).key) for n in range(10)
        ]


def test_the_store_tells_what_has_changed_since_it_was_asked():
    store = Store()
    assert store.changes() is None
    for kind in KINDS:
        store.replace(kind, [], [])
    store.changes()
    store.put(POD, pod(1))
    store.put(POD, pod(2))
    assert store.changes() == {"pods": {("x", "1"), ("x", "2")}}
    store.put(POD, pod(2))
    assert store.changes() == {}
    store.remove(POD, ("x", "2"))
    store.remove(POD, ("x", "3"))
    assert store.changes() == {"pods": {("x", "2")}}
    same = store.pod(("x", "1"))
    store.replace(POD, [pod(1), pod(4)], [])
    assert store.changes() == {"pods": {("x", "4")}}
    assert store.pod(("x", "1")) is same
