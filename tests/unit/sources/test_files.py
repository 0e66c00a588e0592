"""A directory of manifests: what is delivered, and what a broken file does."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from romana.agent.store import Store
from romana.sources.errors import SourceError
from romana.sources.files import FilesSource, read_manifests, revision_of, stamps

POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: n, labels: {app: a}}
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: NAME, namespace: n}
spec: {podSelector: {}}
"""


def pod(name):
    return POD.replace("NAME", name)


def pods(store):
    return sorted(name for _, name in store.snapshot().pods)


@asynccontextmanager
async def following(directory):
    store = Store()
    task = asyncio.create_task(FilesSource(directory, store).run())
    try:
        yield store
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(store, condition, limit_s=5):
    await asyncio.wait_for(store.until(lambda: condition() or None), limit_s)


async def trouble(store, text, limit_s=5):
    async def seen():
        while not any(text in str(problem) for problem in store.problems):
            await asyncio.sleep(0.01)

    await asyncio.wait_for(seen(), limit_s)


async def test_files_are_read_and_followed(tmp_path):
    (tmp_path / "a.yaml").write_text(pod("one") + "---\n" + pod("two") + "---\n")
    (tmp_path / "b.json").write_text(
        json.dumps(
            {
                "kind": "PodList",
                "apiVersion": "v1",
                "items": [{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "three"}}],
            }
        )
    )
    (tmp_path / "notes.txt").write_text("{")
    (tmp_path / "c.yml").write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n")
    async with following(tmp_path) as store:
        await until(store, lambda: store.synced)
        assert pods(store) == ["one", "three", "two"]
        (tmp_path / "d.yaml").write_text(pod("four"))
        await until(store, lambda: "four" in pods(store))
        (tmp_path / "a.yaml").unlink()
        await until(store, lambda: pods(store) == ["four", "three"])
        (tmp_path / ".d.new").write_text(pod("five"))
        (tmp_path / ".d.new").rename(tmp_path / "d.yaml")
        await until(store, lambda: pods(store) == ["five", "three"])


async def test_a_broken_file_keeps_its_last_good_content(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(pod("one"))
    async with following(tmp_path) as store:
        await until(store, lambda: pods(store) == ["one"])
        path.write_text("kind: Pod\nmetadata: {")
        await trouble(store, "a.yaml:3")
        assert pods(store) == ["one"]
        (tmp_path / "b.yaml").write_text(pod("two"))
        await until(store, lambda: pods(store) == ["one", "two"])
        path.write_text(pod("three"))
        await until(store, lambda: pods(store) == ["three", "two"])
        assert store.problems == ()


async def test_nothing_is_known_before_every_file_can_be_read(tmp_path):
    (tmp_path / "a.yaml").write_text(pod("one"))
    (tmp_path / "b.yaml").write_text("{")
    async with following(tmp_path) as store:
        await trouble(store, "b.yaml")
        assert not store.synced
        (tmp_path / "b.yaml").write_text("")
        await until(store, lambda: store.synced and pods(store) == ["one"])


async def test_a_policy_that_cannot_be_read_is_closed_and_told(tmp_path):
    (tmp_path / "a.yaml").write_text(
        POLICY.replace("{podSelector: {}}", "{ingress: [{from: [{}]}]}")
    )
    async with following(tmp_path) as store:
        await until(store, lambda: store.synced)
        assert store.snapshot().policies[("n", "NAME")].ingress == ()
        assert "NetworkPolicy n/NAME: spec.ingress[0].from[0]" in str(store.refused[0])


async def test_the_last_of_two_wins_and_it_is_told(tmp_path):
    (tmp_path / "a.yaml").write_text(pod("one"))
    (tmp_path / "b.yaml").write_text(pod("one").replace("app: a", "app: b"))
    async with following(tmp_path) as store:
        await until(store, lambda: store.synced)
        assert store.snapshot().pods[("n", "one")].labels == {"app": "b"}
        assert "is there twice; the one of b.yaml is in force" in str(store.problems[0])


async def test_a_directory_that_is_not_there_is_told(tmp_path):
    async with following(tmp_path / "none") as store:
        await trouble(store, "none cannot be watched: No such file")
        assert not store.synced


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: [", r"x\.yaml:\d"),
        (b"\xff\xfe\xff", r"x\.yaml"),
        (b"a: \x00", r"x\.yaml"),
    ],
)
def test_errors_name_file_and_line(text, message):
    with pytest.raises(SourceError, match=message):
        read_manifests(text, "x.yaml")


async def test_what_was_delivered_has_the_name_of_the_directorys_state(tmp_path):
    (tmp_path / "a.yaml").write_text(pod("one"))
    async with following(tmp_path) as store:
        await until(store, lambda: store.synced)
        assert store.revision == revision_of(stamps(tmp_path))
        (tmp_path / "b.yaml").write_text(pod("two"))
        await until(store, lambda: pods(store) == ["one", "two"])
        assert store.revision == revision_of(stamps(tmp_path))
        (tmp_path / "b.yaml").unlink()
        await until(store, lambda: pods(store) == ["one"])
        assert store.revision == revision_of(stamps(tmp_path))
