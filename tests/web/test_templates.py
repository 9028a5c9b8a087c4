"""Every template, swept: it compiles, keeps to the house's form, and needs nothing that the policy forbids."""

import base64
import hashlib
import re

import pytest

from app.web.assets import HTMX_VERSION, ROOT, STATIC_FOLDER, TEMPLATES_FOLDER, VENDORED
from app.web.render import environment

TEMPLATES = sorted(path.relative_to(TEMPLATES_FOLDER).as_posix() for path in TEMPLATES_FOLDER.rglob("*.html"))
PARTIALS = [name for name in TEMPLATES if name.rpartition("/")[2].startswith("_") and name != "_scripts.html"]
PAGES = [
    name
    for name in TEMPLATES
    if "_" not in name.rpartition("/")[2][0] and "macros/" not in name and name != "base.html"
]
SCRIPTS = [f"static/{path.name}" for path in sorted(STATIC_FOLDER.glob("*.js"))]

HTMX_2 = re.compile(
    r"hx-ext\b|sse-connect|sse-swap|sse-close|hx-disabled-elt|hx-vars\b|hx-headers=|hx-on[:=-]"
    r"|htmx:(?:afterSwap|beforeSwap|afterRequest|beforeRequest|responseError|sendError|afterSettle|configRequest)"
)
FORBIDDEN = re.compile(r"""\sstyle=|\son[a-z]+=["']|<style|\|\s*safe\b|javascript:""")


def text_of(name: str) -> str:
    """Return a template's source without its comments."""
    return re.sub(r"\{#.*?#\}", "", (TEMPLATES_FOLDER / name).read_text("utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_compiles(name: str) -> None:
    """A template with a mistake in its syntax does not wait for a reader to find it."""
    environment().get_template(name)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_a_title_and_is_a_skeleton(name: str) -> None:
    """A page extends the base, says its title, and leaves its parts to partials."""
    text = text_of(name)

    assert '{% extends "base.html" %}' in text
    assert "{% block title %}" in text
    assert len(text.splitlines()) <= 60


@pytest.mark.parametrize("name", PARTIALS)
def test_a_partials_root_has_its_name_as_id(name: str) -> None:
    """`runs/_list.html` is `#run-list`: what is swapped can be found by its name."""
    text = text_of(name)
    first = re.search(
        r"<(?!hx-partial)[a-z][a-z0-9-]*\b[^>]*>",
        re.sub(r"\{%-?\s*macro.*?endmacro\s*-?%\}", "", text, flags=re.DOTALL),
    )
    own = name.rpartition("/")[2].removeprefix("_").removesuffix(".html").replace("_", "-")

    assert "{% extends" not in text
    if name == "errors/_toast.html":
        return  # its root is the toast, which goes to #toasts whoever asked
    if first is None:
        is_known = "slot(" in text or "<hx-partial" in text  # a macro writes the root; a reply to htmx has many
        assert is_known, f"{name} has no element of its own"
        return
    identifier = re.search(r'\bid="([^"]*)"', first[0])
    assert identifier is not None, f"the first element of {name} has no id"
    assert own in identifier[1] or identifier[1] in own, f"the root of {name} is #{identifier[1]}"


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_template_needs_what_the_policy_forbids(name: str) -> None:
    """No inline style, no inline script, no handler in an attribute, and no text that is not escaped."""
    text = text_of(name)

    assert not FORBIDDEN.findall(text)
    for script in re.findall(r"<script\b[^>]*>(.*?)</script>", text, flags=re.DOTALL):
        assert not script.strip()


@pytest.mark.parametrize("path", [*(f"templates/{name}" for name in TEMPLATES), *SCRIPTS])
def test_no_leftovers_of_htmx_2(path: str) -> None:
    """Attributes and events that htmx 4 renamed would do nothing, and say nothing."""
    assert not HTMX_2.findall((ROOT / path).read_text("utf-8"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_element_that_asks_says_where_the_answer_goes(name: str) -> None:
    """Inheritance is explicit in htmx 4: an element without its own target swaps into itself."""
    for tag in re.findall(r"<[a-z][^<>]*?\shx-(?:get|post|put|patch|delete)=(?:[^<>\"]|\"[^\"]*\")*>", text_of(name)):
        assert "hx-target=" in tag, tag
        assert "hx-swap=" in tag, tag


def test_every_name_given_to_render_is_a_template() -> None:
    """A route cannot name a template that is not there."""
    named = {
        found
        for path in (ROOT / "app").rglob("*.py")
        for found in re.findall(r'"([a-z_]+/[a-z_]+\.html|_[a-z]+\.html)"', path.read_text("utf-8"))
    }

    assert named
    assert named <= set(TEMPLATES)


def test_the_vendored_scripts_are_what_their_list_says() -> None:
    """Version and hash of each file are the same in the file, in the code and in the list beside it."""
    readme = (STATIC_FOLDER / "vendor" / "README.md").read_text("utf-8")
    for script in VENDORED:
        data = (STATIC_FOLDER / "vendor" / script.file).read_bytes()
        digest = base64.b64encode(hashlib.sha384(data).digest()).decode()

        assert digest == script.sha384
        assert f"| `{script.file}` | `htmx.org`, `{script.package_path}` | {HTMX_VERSION} |" in readme
        assert f"`{digest}`" in readme
    core = (STATIC_FOLDER / "vendor" / "htmx.min.js").read_text("utf-8")
    assert re.search(
        rf'version="{re.escape(HTMX_VERSION)}"|version=\'{re.escape(HTMX_VERSION)}\'|"{re.escape(HTMX_VERSION)}"', core
    )


def test_every_icon_that_is_named_is_in_the_sprite() -> None:
    """An icon that is missing would be an empty square, and nothing would say so."""
    there = set(re.findall(r'<symbol id="([\w-]+)"', (STATIC_FOLDER / "icons.svg").read_text("utf-8")))
    named = {found for name in TEMPLATES for found in re.findall(r'\bicon\("([\w-]+)"', text_of(name))}

    assert named <= there
