"""Files from templates: jinja2 without any logic but loops; a value that is not given is an
error."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parents[2] / "templates"

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701  # configuration files, not pages
)


def render(template: str, **values: object) -> str:
    """The text of a template, named by its role and file: "kubelet/config.yaml"."""
    return _ENVIRONMENT.get_template(template).render(**values)
