"""The agent's release with a CPython that is brought along, in a root that has none: fetched from a
site, checked, laid beside the release and switched to by the resources of the role."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from old_machine import Machine
from old_root import ISOLATED, ChrootSession
from relocatable_python import NAME, pack

from installer.artifacts import cache_directory
from installer.artifacts.checksums import Lock, sha256_of
from installer.artifacts.download import Site
from installer.artifacts.fetch import Depot
from installer.artifacts.romana_release import BROUGHT_PYTHON, build_release
from installer.artifacts.upstream import UPSTREAM, bring
from installer.engine.plan import judge, probe
from installer.engine.script import payloads, repairs, sections
from installer.resources import Archive
from romana.version import VERSION

NATIVE = (
    "aiohttp, frozenlist, msgspec, multidict, propcache, yaml._yaml, yarl, ssl, sqlite3, ctypes"
)

DAEMON = """
mkdir /m
/opt/romana/current/bin/romana-agent --source files:/m --node c1 --socket /run/agent.sock \\
  --state /var/lib/romana --metrics off >/run/agent.log 2>&1 &
left=60
until [ -S /run/agent.sock ] || [ $left -eq 0 ]; do left=$((left - 1)); sleep 1; done
[ -S /run/agent.sock ] && echo listening
kill -TERM $!
wait $! && echo ended
cat /run/agent.log
"""
"""The agent itself, for as long as it takes to open its socket: there is nothing here to enforce
policies with."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    root = tmp_path / "site"
    root.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", root
    server.shutdown()
    thread.join()
    server.server_close()


def lay_down(machine: Machine, *archives: Archive) -> None:
    for wanted in archives:
        change = judge(wanted, probe(machine.session, [wanted])[0], set()).change
        assert change is not None
        output = machine.session.run(
            repairs([change], "m"), files=payloads([change]), timeout_s=300
        )
        assert sections(output.stdout, "m")[0].status == 0, output
        assert judge(wanted, probe(machine.session, [wanted])[0], set()).change is None


def test_the_agent_starts_where_there_is_no_python(
    machine: Machine, tmp_path: Path, site: tuple[str, Path]
) -> None:
    url, root = site
    item = UPSTREAM["python"]
    path = root / item.place(item.path, "amd64").replace("%2B", "+")
    path.parent.mkdir(parents=True)
    for library in pack(path):
        machine.root.library(library)
    sums = root / item.place(item.sums, "amd64")
    sums.write_text(f"{'0' * 64}  other.tar.gz\n{sha256_of(path)}  {path.name}\n")
    depot = Depot(
        cache=tmp_path / "cache",
        site=Site(url=url),
        lock=Lock(tmp_path / "artifacts.lock"),
        emit=lambda event: None,
    )
    python = bring(["python"], url, "amd64", depot)["python"]
    assert (python.version, python.sha256) == (item.version, sha256_of(path))
    release = build_release(NAME.removeprefix("python"), "amd64", cache_directory(), print)

    status, said = machine.sh("command -v python3 || echo none")
    assert (status, said) == (0, "none\n")
    lay_down(
        machine,
        Archive(
            f"{BROUGHT_PYTHON}-{python.version}",
            source=python.source,
            sha256=python.sha256,
            link=BROUGHT_PYTHON,
            strip=1,
        ),
        Archive(
            f"/opt/romana/releases/{release.version}",
            source=release.source,
            sha256=release.sha256,
            link="/opt/romana/current",
        ),
    )
    machine.session = ChrootSession("c1", machine.root, ISOLATED)
    current = "/opt/romana/current"
    assert machine.sh(f"{current}/bin/romana-agent --version") == (0, f"{VERSION}\n")
    assert "Usage: romana" in machine.sh(f"{current}/bin/romana --help")[1]
    asked = f"import sys; sys.path.insert(0, '{current}/lib'); import {NATIVE}; print(sys.prefix)"
    status, said = machine.sh(f'{BROUGHT_PYTHON}/bin/{NAME} -IS -c "{asked}"')
    assert (status, said) == (0, f"{BROUGHT_PYTHON}\n")
    status, said = machine.sh(DAEMON)
    assert (status, said.splitlines()[:2]) == (0, ["listening", "ended"]), said
    assert "Traceback" not in said
