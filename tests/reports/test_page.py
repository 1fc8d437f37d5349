"""The page: whatever it is told is escaped, and nothing is loaded from anywhere."""

from html.parser import HTMLParser

import pytest

from podium.reports.blocks import (
    Chart,
    Charts,
    Facts,
    ImageGrid,
    ImageTile,
    Page,
    Section,
    TableBlock,
    Words,
)
from podium.reports.figures import canvas, png
from podium.reports.report import render
from podium.reports.thumbnails import data_uri

EVIL = "</td><script>alert('x')</script><img src=x onerror=alert(1)>\"&"


class Read(HTMLParser):
    """What is in a page: tags with their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page() -> Read:
    """Each kind of block, and each word of it an attack."""
    figure, _ = canvas()
    image = data_uri(b"not an image", "jpeg")
    box = ("true", (0.1, 0.2, 0.4, 0.6))
    sections = [
        Section(EVIL, [Words(EVIL), Words(EVIL, left_out=True), Facts([(EVIL, EVIL)])]),
        Section(
            "Tables", [TableBlock(EVIL, [EVIL], [[EVIL]]), TableBlock(EVIL, ["a"], [], folded=True)]
        ),
        Section("Charts", [Charts([Chart("one", figure, EVIL, wide=True)])]),
        Section(
            "Images",
            [
                ImageGrid(EVIL, [ImageTile(image, EVIL, EVIL, EVIL, EVIL, EVIL, [box])]),
                ImageGrid("strips", [ImageTile("", EVIL)], strips=True),
            ],
        ),
    ]
    return Read(render(Page(EVIL, EVIL, EVIL, sections), {"one": png(figure)}))


def test_markup_in_names_is_text(page: Read) -> None:
    assert not page.all("script")
    assert not [tag for tag, attributes in page.tags for name in attributes if name[:2] == "on"]
    assert page.text.count(EVIL) >= 13
    assert {attributes["alt"] for attributes in page.all("img")} == {EVIL}


def test_nothing_is_loaded(page: Read) -> None:
    addresses = [
        value
        for tag, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert addresses and all(value.startswith(("data:image/", "#")) for value in addresses)
    assert not page.all("link") and not page.all("iframe")
    (policy,) = [one["content"] for one in page.all("meta") if "http-equiv" in one]
    assert policy.startswith("default-src 'none'")


def test_the_page_can_be_walked_without_eyes(page: Read) -> None:
    assert [len(page.all(tag)) for tag in ("h1", "h2", "main", "nav")] == [1, 4, 1, 1]
    links = {one["href"] for one in page.all("nav") + page.all("a") if "href" in one}
    targets = [one["id"] for one in page.all("h2") + page.all("a") if "id" in one]
    assert links == {f"#{one}" for one in targets}, "contents and headings, images and names agree"
    assert all(one.get("alt") for one in page.all("img"))
    assert all(one.get("scope") == "col" for one in page.all("th"))
    assert page.all("html")[0]["lang"] == "en"


def test_columns_of_numbers_stand_right() -> None:
    rows = [
        ["0.91", "0.89 to 0.93", "fold 0", "12 min", "9f3", "–"],
        ["1,204", "", "", "3 s", "", ""],
    ]
    assert TableBlock("", ["a"] * 6, rows).numeric == [True, True, False, True, False, True]
    assert TableBlock("", ["a"], []).numeric == [False]
