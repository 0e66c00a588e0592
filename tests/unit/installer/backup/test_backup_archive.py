"""A backup is whole and verified, or nothing is restored from it."""

import hashlib
import io
import json
import os
import tarfile
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from installer.backup.archive import Backup, Description, lay_down, read, state_files, write
from installer.backup.snapshot import save, sound
from installer.errors import HostError, InstallerError

BODY = os.urandom(4096)
SNAPSHOT = BODY + hashlib.sha256(BODY).digest()
BACKUP = Backup(
    description=Description(
        cluster="prod", platform="static", taken="2026-11-24 11:17:17", kubernetes="v1.34.1",
        revision=4711, keys=321,
    ),
    snapshot=SNAPSHOT,
    state={"pki/ca.key": b"key", "pki/ca.crt": b"certificate", "inventory.yml": b"cluster: {}\n"},
)  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "romana-backup-prod-20261124-111717.tar.gz"


def test_what_is_written_is_read_by_its_owner_only_and_leaves_nothing_beside_it(path):
    write(BACKUP, path)
    assert read(path) == BACKUP
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_an_older_backup_is_never_overwritten(path):
    write(BACKUP, path)
    with pytest.raises(FileExistsError):
        write(replace(BACKUP, snapshot=b"other"), path)
    assert read(path) == BACKUP
    assert list(path.parent.iterdir()) == [path]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("backup") / "b.tar.gz"
    write(BACKUP, path)
    return path


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_one_wrong_bit_anywhere_is_told_or_harms_nothing(whole, data):
    content = bytearray(whole.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    flipped = whole.with_name("flipped.tar.gz")
    flipped.write_bytes(content)
    try:
        found = read(flipped)
    except InstallerError as error:
        assert "nothing was touched" in error.advice or "no backup" in error.message
        assert "\n" not in error.message
    else:  # the time in gzip's header, say
        assert found == BACKUP


@settings(max_examples=60, deadline=None)
@given(part=st.floats(0, 0.999))
def test_a_backup_that_was_cut_short_is_told(whole, part):
    content = whole.read_bytes()
    cut = whole.with_name("cut.tar.gz")
    cut.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(InstallerError):
        read(cut)


def packed(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def forged(path, extra=(), **changes):
    """A backup with members of somebody else's making, their sums right."""
    write(BACKUP, whole := path.with_name("whole.tar.gz"))
    with tarfile.open(whole) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}
    first = {**json.loads(members["backup.json"]), **changes}
    members |= dict(extra)
    for name, content in dict(extra).items():
        first["sha256"][name] = hashlib.sha256(content).hexdigest()
    return packed(path, {**members, "backup.json": json.dumps(first).encode()})


@pytest.mark.parametrize(
    ("extra", "changes", "says"),
    [
        ({"state/../../etc/passwd": b"x"}, {}, "which no backup does"),
        ({"elsewhere": b"x"}, {}, "which no backup does"),
        ({}, {"format": 2}, "made by a newer romana-install"),
        ({}, {"sha256": {}}, "is damaged"),
        ({}, {"unknown": 1}, "is no backup of romana-install"),
    ],
)
def test_what_no_backup_holds_is_refused(path, extra, changes, says):
    with pytest.raises(InstallerError, match=says):
        read(forged(path, extra, **changes))


def test_other_files_are_no_backups(path):
    with pytest.raises(InstallerError, match="there is no such file"):
        read(path)
    path.write_text("text")
    with pytest.raises(InstallerError, match="is no backup, or is damaged"):
        read(path)
    packed(path, {"other": b"x"})
    with pytest.raises(InstallerError, match="is no backup of romana-install"):
        read(path)


def test_secrets_and_wishes_of_a_state_directory_belong_to_it_and_logs_do_not(tmp_path):
    state = tmp_path / "state"
    for name in ("pki/ca.key", "pki/hosts/n1/a.crt", "inventory.yml", "known_hosts", "key"):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text(name)
    kept = state_files(state)
    for name in ("logs/1.log", "lock", "claims", "journal.json", "kubeconfig", "backups/b.tar.gz"):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text(name)
    assert state_files(state) == kept
    assert set(kept) == {
        "pki/ca.key", "pki/hosts/n1/a.crt", "inventory.yml", "known_hosts", "key"
    }  # fmt: skip
    lay_down(replace(BACKUP, state=kept), new := tmp_path / "new")
    assert state_files(new) == kept
    assert {path.stat().st_mode & 0o777 for path in new.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (new, *new.rglob("*")) if path.is_dir()} == {
        0o700
    }


ETCDCTL = """#!/bin/sh
for last; do :; done
case "$*" in
*" save "*) cat {content} >"$last"; echo saved ;;
*" status "*) echo '{{"hash":1,"revision":4711,"totalKey":321,"totalSize":4128}}' ;;
esac
"""


@pytest.fixture
def controller(host, tmp_path):
    """A controller whose etcdctl hands over whatever lies in `content`."""
    (host.root / "var/lib/etcd").mkdir()
    program = host.root / "bin/etcdctl"
    program.write_text(ETCDCTL.format(content=tmp_path / "content"))
    program.chmod(0o755)
    (tmp_path / "content").write_bytes(SNAPSHOT)
    return host


def test_a_snapshot_comes_over_whole_and_leaves_nothing_behind(controller):
    snapshot = save(controller)
    assert (snapshot.content, snapshot.revision, snapshot.keys) == (SNAPSHOT, 4711, 321)
    assert list((controller.root / "var/lib/etcd").iterdir()) == []


@pytest.mark.parametrize("content", [SNAPSHOT[:-1], SNAPSHOT[1:], b"", BODY])
def test_a_snapshot_that_is_not_what_etcd_wrote_is_told(controller, tmp_path, content):
    assert not sound(content)
    (tmp_path / "content").write_bytes(content)
    with pytest.raises(HostError, match="snapshot"):
        save(controller)


def test_an_etcd_that_does_not_answer_is_told_with_its_own_words(controller):
    (controller.root / "bin/etcdctl").write_text(
        "#!/bin/sh\necho Error: context deadline; exit 1\n"
    )
    with pytest.raises(HostError, match="node1: etcd's snapshot failed: Error: context deadline"):
        save(controller)
    assert list((controller.root / "var/lib/etcd").iterdir()) == []
