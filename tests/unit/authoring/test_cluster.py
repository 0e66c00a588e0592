"""Policies in the API, as whom a kubeconfig says."""

from __future__ import annotations

import asyncio
import base64
import threading
from contextlib import contextmanager

import pytest
import yaml
from aiohttp import web
from click.testing import CliRunner

from romana.cli import main
from romana.sources.errors import SourceError
from romana.sources.kubeconfig import api_address

ENTRY = {"peers": [{"peer": "any"}], "rules": [{"protocol": "any"}]}
POLICY_FILE = {
    "apiVersion": "romana.io/v1",
    "kind": "RomanaPolicy",
    "metadata": {"name": "web"},
    "spec": {"direction": "ingress", "applied_to": [{"tenant": "shop"}], "ingress": [ENTRY]},
}
NETWORK_POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny", "namespace": "shop"},
    "spec": {"podSelector": {}},
}


def run(*arguments, stdin=None):
    result = CliRunner().invoke(main, ["policy", *map(str, arguments)], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def written(path, *documents):
    path.write_text(yaml.safe_dump_all(documents))
    return path


def changed(**spec):
    return {**POLICY_FILE, "spec": {**POLICY_FILE["spec"], **spec}}


class FakeApi:
    """Keeps objects by path, as the API does."""

    def __init__(self):
        self.objects = {}
        self.conflicts = 0
        self.tokens = set()

    async def serve(self, request):
        self.tokens.add(request.headers.get("Authorization", ""))
        path = request.path
        if "unknown" in path:
            return self.refusal(404, "NotFound")
        if request.method == "POST":
            body = await request.json()
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                return self.refusal(409, "AlreadyExists")
            return self.keep(path, body)
        if path not in self.objects:
            return self.refusal(404, "NotFound")
        if request.method == "PUT":
            if self.conflicts:
                self.conflicts -= 1
                return self.refusal(409, "Conflict")
            return self.keep(path, await request.json())
        found = self.objects.pop(path) if request.method == "DELETE" else self.objects[path]
        return web.json_response(found)

    def keep(self, path, body):
        self.objects[path] = {**body, "metadata": {**body["metadata"], "resourceVersion": "7"}}
        return web.json_response(self.objects[path])

    def refusal(self, status, reason):
        return web.json_response({"reason": reason, "message": "no"}, status=status)


@contextmanager
def serving(fake):
    """The API in a thread of its own: the command has an event loop of its own."""
    loop, ready, ports = asyncio.new_event_loop(), threading.Event(), []

    async def start():
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", fake.serve)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ports.append(site._server.sockets[0].getsockname()[1])
        ready.set()
        return runner

    def serve():
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(5)
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def kubeconfig(path, server, user=None, **cluster):
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "one", "user": "me"}}],
        "clusters": [{"name": "one", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "me", "user": user or {}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_policy_is_added_changed_and_removed_in_the_api(tmp_path):
    fake, file = FakeApi(), written(tmp_path / "p.yaml", POLICY_FILE, NETWORK_POLICY)
    with serving(fake) as server:
        config = kubeconfig(tmp_path / "config", server, {"token": "secret"})
        where = f"in the cluster of {config}"
        result = run("add", file, "--kubeconfig", config)
        assert result.output.splitlines() == [
            f"RomanaPolicy web: added {where}",
            f"NetworkPolicy shop/deny: added {where}",
        ]
        network = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/deny"
        assert set(fake.objects) == {"/apis/romana.io/v1/romanapolicies/web", network}
        assert fake.tokens == {"Bearer secret"}
        assert "unchanged" in run("add", file, "--kubeconfig", config).output
        fake.conflicts = 1
        written(file, changed(ingress=[]))
        assert "web: changed" in run("add", file, "--kubeconfig", config).output
        assert fake.objects["/apis/romana.io/v1/romanapolicies/web"]["spec"]["ingress"] == []
        assert "removed" in run("remove", "shop/deny", "--kubeconfig", config).output
        assert "removed" in run("remove", "web", "--kubeconfig", config).output
        assert fake.objects == {}
        again = run("remove", "web", "--kubeconfig", config)
        assert again.output.startswith("Error: there is no RomanaPolicy web in the cluster; ")


def test_a_refusal_of_the_api_is_a_line(tmp_path):
    missing = {**NETWORK_POLICY, "metadata": {"name": "deny", "namespace": "unknown"}}
    file = written(tmp_path / "p.yaml", missing)
    with serving(FakeApi()) as server:
        config = kubeconfig(tmp_path / "config", server)
        result = run("add", file, "--kubeconfig", config)
    assert "has no NetworkPolicy of networking.k8s.io/v1, or not the namespace" in result.output
    gone = run("add", file, "--kubeconfig", kubeconfig(tmp_path / "config", "http://127.0.0.1:1"))
    assert "http://127.0.0.1:1 cannot be reached" in gone.output


def test_identities_of_a_kubeconfig(tmp_path):
    data = base64.b64encode(b"PEM").decode()
    (tmp_path / "token").write_text("from a file\n")
    user = {"client-certificate-data": data, "client-key": "me.key", "tokenFile": "token"}
    path = kubeconfig(tmp_path / "c", "https://x", user, **{"tls-server-name": "api"})
    with api_address(path) as address:
        assert address.certificate.read_bytes() == b"PEM"
        assert address.certificate.stat().st_mode & 0o777 == 0o600
        assert address.key == tmp_path / "me.key"
        assert (address.server_name, address.token) == ("api", "from a file")
        assert "from a file" not in repr(address)
    assert not address.certificate.exists()


@pytest.mark.parametrize(
    ("user", "cluster", "message"),
    [
        ({"exec": {"command": "x"}}, {}, "proves who you are by `exec`; use `kubectl apply -f`"),
        ({}, {"insecure-skip-tls-verify": True}, "does not verify the server"),
        ({"client-key-data": "!"}, {}, "is not base64"),
        ({"tokenFile": "none"}, {}, "none: cannot be read"),
    ],
)
def test_what_a_kubeconfig_holds_that_is_not_supported(tmp_path, user, cluster, message):
    path = kubeconfig(tmp_path / "c", "https://x", user, **cluster)
    with pytest.raises(SourceError, match=message), api_address(path):
        pass
    path.write_text("{")
    with pytest.raises(SourceError, match="is not YAML"), api_address(path):
        pass
    path.write_text("a: b")
    with pytest.raises(SourceError, match="is not a complete kubeconfig"), api_address(path):
        pass
