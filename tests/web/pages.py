"""Reading a page: its elements, and what a browser would ask for. And who reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser

from django.test import Client

#: A browser of a new user with this role.
SignIn = Callable[[str], Client]
PASSWORD = "three words and a number 7"
#: For tests that guess dozens of passwords: the real one takes a third of a second for each.
FAST_HASHER = "django.contrib.auth.hashers.MD5PasswordHasher"

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    text: str = ""
    parents: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """All elements of a page, each with the text directly and indirectly inside it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(
            tag, {name: value or "" for name, value in attrs}, parents=[each.tag for each in self._open]
        )
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1].tag == tag, (
            f"</{tag}> closes <{self._open[-1].tag} {self._open[-1].attributes}>"
        )
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    def by_id(self, element_id: str) -> Element:
        found = [element for element in self.elements if element.attributes.get("id") == element_id]
        assert len(found) == 1, f"{len(found)} elements have the id {element_id!r}"
        return found[0]

    def addresses(self) -> set[str]:
        """Everything that the browser would load by itself."""
        loaded = set()
        for element in self.elements:
            match element.tag:
                case "script" | "img" | "iframe" | "audio" | "video":
                    loaded.add(element.attributes.get("src", ""))
                case "link" | "use" | "image":
                    loaded.add(element.attributes.get("href", ""))
        return loaded - {""}
