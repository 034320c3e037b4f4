"""Which papers to name: BibTeX of the parts that a piece of work was done with."""

from lineament.core.errors import InvalidArgument


def citation(*things: object) -> str:
    """BibTeX entries of everything given, each once, in the order given.

    Args:
        things: classes or objects with a text `bibtex`, such as the heads of `lineament.train`.

    Returns:
        Entries separated by blank lines, with a line break at the end: the contents of a `.bib` file.

    Raises:
        InvalidArgument: nothing given, or a thing without a paper.
    """
    if not things:
        raise InvalidArgument("nothing to cite: pass what was used, for example a head")
    entries: dict[str, None] = {}
    for thing in things:
        text = getattr(thing, "bibtex", None)
        if not isinstance(text, str) or not text.strip():
            raise InvalidArgument(f"{thing!r} names no paper: pass something that has a bibtex")
        entries[text.strip()] = None
    return "\n\n".join(entries) + "\n"
