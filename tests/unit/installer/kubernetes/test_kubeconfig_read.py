"""Reading a kubeconfig: inline and by file, and one line for what is wrong."""

import base64
from pathlib import Path

import pytest
import yaml

from installer.errors import InstallerError
from installer.kubernetes import read


def config(**user) -> dict:
    return {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [
            {
                "name": "k",
                "cluster": {
                    "server": "https://127.0.0.1:16443/",
                    "certificate-authority-data": base64.b64encode(b"CA").decode(),
                },
            }
        ],
        "users": [{"name": "u", "user": user}],
    }


def test_inline_and_by_file(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(b"KEY")
    data = base64.b64encode(b"CERT").decode()
    file = tmp_path / "kubeconfig"
    file.write_text(
        yaml.safe_dump(config(**{"client-certificate-data": data, "client-key": "key.pem"}))
    )
    access = read(file)
    assert access.server == "https://127.0.0.1:16443"
    assert (access.authority, access.certificate, access.key) == (b"CA", b"CERT", b"KEY")
    assert "KEY" not in repr(access)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "cannot be read"),
        ("a: [", "is not YAML"),
        ("a: 1", "is not a complete kubeconfig"),
        ("[]", "is not a complete kubeconfig"),
        (yaml.safe_dump(config(token="x")), "is not a complete kubeconfig"),
        (
            yaml.safe_dump(config(**{"client-certificate": "none.pem", "client-key": "x"})),
            "none.pem",
        ),
        (yaml.safe_dump(config(**{"client-certificate-data": "?", "client-key": "x"})), "base64"),
    ],
)
def test_errors(tmp_path: Path, text, what) -> None:
    file = tmp_path / "kubeconfig"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InstallerError, match=what) as caught:
        read(file)
    assert str(file) in caught.value.message
    assert "\n" not in caught.value.message
