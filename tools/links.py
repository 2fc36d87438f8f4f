"""Finds dead links in the Markdown files: files that are not there, and headings that nobody wrote."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s*<?([^>\s]+)", re.MULTILINE)
FENCE = re.compile(r"^ {0,3}(```+|~~~+).*?^ {0,3}\1[ \t]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
HEADING = re.compile(r"^ {0,3}#{1,6} +(.*?)(?: +#+)?$", re.MULTILINE)
ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")


def pages(root: Path) -> list[Path]:
    """The Markdown files that readers meet."""
    found = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("examples/**/*.md")]
    return sorted(path for path in found if "outputs" not in path.parts)


def anchors(text: str) -> set[str]:
    """What a link's #fragment may name: headings in lower case with dashes, counted when they repeat."""
    text = FENCE.sub("", text)
    names: set[str] = set(ANCHOR.findall(text))
    for heading in HEADING.findall(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
        slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        number, name = 0, slug
        while name in names:
            number += 1
            name = f"{slug}-{number}"
        names.add(name)
    return names


def links(text: str) -> Iterator[str]:
    """The targets of the links outside of code."""
    for inline, reference in LINK.findall(CODE.sub("``", FENCE.sub("", text))):
        yield inline or reference


def complaints(root: Path) -> list[str]:
    """One line for each link that leads nowhere."""
    found = []
    for page in pages(root):
        for target in links(page.read_text()):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            place, _, fragment = unquote(target).partition("#")
            other = (page.parent / place).resolve() if place else page
            where = f"{page.relative_to(root)}: {target}"
            if not other.is_relative_to(root.resolve()):
                found.append(f"{where}: leads out of the project")
            elif not other.exists():
                found.append(f"{where}: there is no such file")
            elif fragment and other.suffix == ".md" and fragment not in anchors(other.read_text()):
                found.append(f"{where}: there is no such heading")
    return found


def main() -> int:
    """Prints the complaints; 1 when there are some."""
    found = complaints(ROOT)
    print(*found, f"links: {len(found)} complaints" if found else "links: fine", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
