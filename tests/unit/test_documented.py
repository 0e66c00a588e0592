"""The commands of a page are found, and one that nothing has executed is told."""

from __future__ import annotations

import pytest
from documented import Command, Page, commands_of

TEXT = """# A page
```sh
romana-install sandbox          # makes it
# only a word

kubectl get nodes \\
  -o wide
cat >pod.yaml <<'EOF'
kind: Pod
EOF
```
## Later
- in a list:

  ```console
  host# initctl status kubelet
  kubelet start/running
  ## not a heading
  operator$ ls -l
  ```
```yaml
kind: Pod
```
### Below
```sh
true
```
## End
```sh
false
```
"""


@pytest.fixture
def page(tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text(TEXT)
    monkeypatch.setattr("documented.DOCS", tmp_path)
    monkeypatch.setattr("documented._executed", {"page.md": set()})
    return lambda section="": Page("page.md", section)


def test_commands_are_found_in_their_order() -> None:
    assert commands_of(TEXT) == (
        Command("romana-install sandbox"),
        Command("kubectl get nodes -o wide"),
        Command("cat >pod.yaml <<'EOF'\nkind: Pod\nEOF"),
        Command("initctl status kubelet", "host", ("kubelet start/running", "## not a heading")),
        Command("ls -l", "operator"),
        Command("true"),
        Command("false"),
    )


def test_a_section_ends_where_the_next_begins(page) -> None:
    texts = [each.text for each in page("Later").commands]
    assert texts == ["initctl status kubelet", "ls -l", "true"]
    with pytest.raises(AssertionError, match="no heading"):
        page("Never")


def test_only_what_ended_well_counts(page) -> None:
    page().ran("false", 1)
    page().ran("romana-install static --check", 2)
    page().ran("ls -l", 2)
    page("Later").ran("true", 0)
    assert page("Later").left() == ["initctl status kubelet", "ls -l"]
    assert "true" not in page().left()
    assert "false" in page().left()
