"""Chinese as it is set: marks as wide as its characters, on every page and in every sentence of the catalogue."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString, PageElement
from sqlmodel import Session

from app.domain.models import Artifact, ArtifactKind, ArtifactState, Attempt, ReasonKind, Run, RunState
from app.domain.presets import SMALL_MODEL
from app.domain.runs import id_of
from app.web import translations
from tests.factories import make_checkpoint, make_model, make_run
from tests.stories import STORY, make_story, story_recipe

HAN = r"[\u3400-\u9fff]"
WIDE = "[，。；：？！（）、“”]"
EDGE = "\u2060"  # stands for a tag in the middle of a line
GAP = rf"[\s{EDGE}]*"
NARROW = re.compile(
    rf"{HAN}{GAP}[,;:?!()]|[,;:?!()]{GAP}{HAN}|{HAN}{GAP}\.(?!\w)|{WIDE}{GAP}[,;:?!](?!\w)|{WIDE} [\w(]|\w {WIDE}"
)
"""A mark of Latin script beside a Chinese character, or a space beside a mark that brings its own."""
INLINE = {"a", "abbr", "b", "code", "em", "i", "mark", "small", "time"}
NOT_READ = {"kbd", "script", "style", "template", "textarea", "pre"}
BREAK = "\n"


def in_its_own_language(element: PageElement) -> bool:
    """Whether a text is somebody's, a question or an answer, and no sentence of the page."""
    return isinstance(element, Tag) and (element.get("lang") is not None and element.name != "html")


def texts_of(element: Tag) -> Iterator[str]:
    """Yield an element's texts; what stands in boxes of its own is apart from what is around it."""
    for child in element.children:
        if isinstance(child, Tag):
            if child.name in NOT_READ or in_its_own_language(child):
                yield BREAK
            elif child.name in INLINE:
                yield from (EDGE, *texts_of(child), EDGE)
            else:
                yield from (BREAK, *texts_of(child), BREAK)
        elif type(child) is NavigableString:
            yield re.sub(r"\s+", " ", child)


def lines_of(page: BeautifulSoup) -> Iterator[str]:
    """Yield what stands on a page, line by line, labels included."""
    yield from "".join(texts_of(page)).split(BREAK)
    for name in ("aria-label", "title", "placeholder", "data-word", "data-copied"):
        yield from (str(each[name]) for each in page.select(f"[{name}]") if not in_its_own_language(each))


def narrow_marks(lines: Iterator[str]) -> list[str]:
    """Return the lines that are set as Chinese is not."""
    return [line for line in dict.fromkeys(map(str.strip, lines)) if NARROW.search(line)]


@pytest.mark.parametrize(
    ("text", "is_wrong"),
    [
        ("每 5 次迭代一个, 全部保留", True),
        ("共 8 个运行。 1 个正在训练。", True),
        ("比较: 一", True),
        ("损失(平滑)", True),
        ("没有了.", True),
        ("pickle 格式（.bin），读取时", False),
        ("学习率，最高 5e-4, 0.5", False),
        ("在 127.0.0.1:8321 上", False),
    ],
)
def test_what_is_set_wrongly_is_found(text: str, is_wrong: bool) -> None:
    """A mark of Latin script beside a Chinese character, or a space beside a wide mark."""
    assert bool(narrow_marks(iter([text]))) is is_wrong


def test_the_catalogue_has_chinese_marks() -> None:
    """Every sentence that has Chinese in it has its marks too."""
    found = [text for message in translations.read("zh") if message.id for text in translations.texts(message.string)]

    assert found
    assert narrow_marks(iter(found)) == []


@pytest.fixture
def story(session: Session) -> Run:
    """Store runs in every state, so that every sentence of a page stands somewhere."""
    make_model(session, name=SMALL_MODEL)
    run = make_story(session, name="story")
    checkpoint = id_of(run.checkpoints[4])
    for made in ArtifactState:
        reason = ReasonKind.DISK_FULL if made is ArtifactState.FAILED else None
        session.add(Artifact(checkpoint_id=checkpoint, kind=ArtifactKind.MERGED, state=made, reason=reason))
    session.add(Attempt(run_id=id_of(run), number=2, worker="w", resumed_from=5))
    for state in (RunState.RUNNING, RunState.FAILED, RunState.CANCELLED, RunState.QUEUED, RunState.QUEUED):
        other = make_run(session, recipe=story_recipe(str(state)), state=state, iterations=50, iteration=5)
        if state is not RunState.QUEUED:
            make_checkpoint(session, other, iteration=0, texts=STORY[0])
    session.commit()
    return run


PAGES = [
    "/runs",
    "/runs?q=story",
    "/runs?q=nothing",
    *(f"/runs/{{run}}{part}" for part in ("", "/config")),
    *(f"/runs/{place}" for place in range(1, 7)),
    "/runs/new",
    "/runs/new?preset=tutorial",
    "/runs/new?clone=1",
    "/runs/new?xtuner=internlm2_chat_1_8b_qlora_alpaca_e3",
    "/compare",
    "/compare?runs=1",
    "/compare?runs=1,2,4",
    "/compare?runs=1&cell={checkpoint}.{probe}",
    "/compare/menu?runs=1&column={checkpoint}",
    "/models",
    "/models/proposal?source=/nowhere",
    "/patterns",
    "/login",
    "/nowhere",
]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_chinese_marks(client: Any, story: Run, path: str) -> None:
    """Also where a sentence is put together from parts."""
    ids = {"run": story.id, "checkpoint": id_of(story.checkpoints[6]), "probe": id_of(story.probes[6])}

    reply = client.get(path.format(**ids), headers={"Accept-Language": "zh-CN"}, follow_redirects=True)

    assert narrow_marks(lines_of(BeautifulSoup(reply.text, "html.parser"))) == []


def test_a_form_that_is_refused_has_chinese_marks(client: Any, story: Run) -> None:
    """Nor do the sentences about what is wrong bring others."""
    form = {
        "name": "",
        "training.learning_rate": "fast",
        "training.length": "0",
        "training.length_unit": "epochs",
        "training.lora.r": "1e9",
        "mix.identity_count": "-1",
        "probes.0.question": "",
        "checkpoints.every": "0",
        "checkpoints.keep": "0",
    }

    for path in ("/runs", "/runs/new/preview"):
        reply = client.post(path, data=form, headers={"Accept-Language": "zh-CN"})

        assert narrow_marks(lines_of(BeautifulSoup(reply.text, "html.parser"))) == []
