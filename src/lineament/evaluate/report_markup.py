"""HTML that cannot be injected into: text becomes markup by escaping only."""

import html
import unicodedata
from collections.abc import Iterable

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Markup(str):
    """Text that is HTML already. Only this module and literals in our own source make one."""

    __slots__ = ()


Child = str | Markup | None


def visible(text: str) -> str:
    """Text whose control characters, lone surrogates and direction marks are written out as `\\x1b`.

    They could break a page or a figure, or make a name read differently from what it is.
    """
    return "".join(
        char.encode("unicode_escape").decode("ascii")
        if char in _BIDI or unicodedata.category(char) in ("Cc", "Cs")
        else char
        for char in text
    )


def escaped(text: Child) -> Markup:
    """Markup as it is; any other text escaped, so that it can only ever be read."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(visible(text or ""), quote=True))


def joined(children: Iterable[Child], between: str = "") -> Markup:
    """Several pieces one after another."""
    return Markup(escaped(between).join(escaped(child) for child in children if child is not None))


def tag(name: str, *children: Child, **attributes: str | None) -> Markup:
    """An element.

    Args:
        name: of the element.
        children: markup, or text that is escaped; None is left out.
        attributes: by name, `_` for `-`, and a trailing `_` for names that Python reserves (`class_`);
            None is left out.
    """
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(visible(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{pairs}>{joined(children)}</{name}>")
