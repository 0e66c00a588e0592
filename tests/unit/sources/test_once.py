"""A cluster read once, by an operator's kubeconfig, for what needs no agent."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from click.testing import CliRunner

from romana.cli import main
from romana.sources.errors import SourceError
from romana.sources.once import read_once

LISTS = {
    "/api/v1/namespaces": [{"metadata": {"name": "shop"}}],
    "/api/v1/nodes": [],
    "/apis/networking.k8s.io/v1/networkpolicies": [
        {
            "metadata": {"name": "closed", "namespace": "shop"},
            "spec": {
                "podSelector": {"matchLabels": {"app": "web"}},
                "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}]}],
            },
        }
    ],
    "/api/v1/pods": [
        {
            "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
            "spec": {"nodeName": "one"},
            "status": {"podIP": f"10.0.0.{number}", "phase": "Running"},
        }
        for number, name in enumerate(("web", "client", "other"), 1)
    ],
}
"""What this cluster serves; it knows nothing of Romana's own kinds."""


@pytest.fixture
def lists():
    return dict(LISTS)


@pytest.fixture
def cluster(lists, tmp_path):
    """A kubeconfig for an API that serves the lists, in pages of one object."""

    class Serve(BaseHTTPRequestHandler):
        def do_GET(self):
            path, _, query = self.path.partition("?")
            start = int(dict(each.split("=") for each in query.split("&")).get("continue", 0))
            held = lists.get(path)
            status = 200 if held is not None else 404
            more = str(start + 1) if held and start + 1 < len(held) else ""
            body = json.dumps(
                {"metadata": {"continue": more}, "items": held[start : start + 1]}
                if held is not None
                else {"code": 404, "reason": "NotFound", "message": "there is none"}
            ).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Serve) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        file = tmp_path / "kubeconfig"
        address = f"http://127.0.0.1:{server.server_address[1]}"
        content = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "one"}}],
            "clusters": [{"name": "one", "cluster": {"server": address}}],
        }
        file.write_text(yaml.safe_dump(content))
        yield file
        server.shutdown()
        thread.join()


def explained(source, *words, **environment):
    command = ["explain", "--from", "shop/other", "--to", "shop/web", "--source", source, *words]
    return CliRunner(env=environment).invoke(main, command)


def test_all_pages_of_all_kinds_are_read_and_kinds_of_ours_may_be_missing(cluster):
    snapshot, faults = read_once(f"kubernetes:{cluster}")
    assert {key[1] for key in snapshot.pods} == {"web", "client", "other"}
    assert len(snapshot.policies) == 1
    assert faults == ()


def test_an_operator_without_an_agent_is_told_why(cluster):
    told = explained("kubernetes", KUBECONFIG=str(cluster))
    assert told.exit_code == 0
    assert "isolated by NetworkPolicy shop/closed; no rule matched" in told.output


def test_a_list_that_is_refused_says_nothing_at_all(cluster, lists):
    del lists["/api/v1/pods"]
    told = explained(f"kubernetes:{cluster}")
    assert told.exit_code == 1
    assert "list of pods" in told.output
    assert "there is none" in told.output


def test_without_any_kubeconfig_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr("romana.sources.kubeconfig._OWN", ())
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(SourceError, match="set KUBECONFIG or write kubernetes:FILE"):
        read_once("kubernetes")


def test_without_an_agent_questions_name_the_other_way(tmp_path):
    nobody = str(tmp_path / "nobody.sock")
    told = CliRunner().invoke(main, ["matrix", "--socket", nobody])
    assert told.exit_code == 1
    assert told.output.endswith("ask the cluster: --source kubernetes\n")
    assert len(told.output.splitlines()) == 1


def test_a_port_beyond_the_last_is_refused(cluster):
    told = explained(f"kubernetes:{cluster}", "--port", "80000")
    assert told.exit_code == 2
    assert "--port 80000: ports end at 65535" in told.output
