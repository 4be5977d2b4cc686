"""Hooks of mkdocs: files of the repository that pages link to, such as `../README.md`, become part of the site."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

# Folder of the site that they are in.
REPOSITORY = "repository"
_LINK = re.compile(r"(\]\()([^)\s#]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files outside docs/ that are linked to, directly or from each other."""
    docs = Path(config.docs_dir).resolve()
    waiting = [docs / page.src_uri for page in files.documentation_pages()]
    seen = set(waiting)
    while waiting:
        for target in sorted(_targets(waiting.pop()) - seen):
            seen.add(target)
            if not target.is_relative_to(docs):
                name = f"{REPOSITORY}/{target.relative_to(docs.parent).as_posix()}"
                inclusion = InclusionLevel.NOT_IN_NAV
                files.append(File.generated(config, name, abs_src_path=str(target), inclusion=inclusion))
                if target.suffix == ".md":
                    waiting.append(target)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Makes links that cross the border of docs/ lead to where the site has their files."""
    docs = Path(config.docs_dir).resolve()
    here = Path(page.file.src_uri)
    is_outside = here.parts[0] == REPOSITORY
    source = docs.parent / here.relative_to(REPOSITORY) if is_outside else docs / here

    def moved(link: re.Match[str]) -> str:
        target = _resolved(source, link[2])
        if target is None or (not is_outside and target.is_relative_to(docs)):
            return link[0]
        if target.is_relative_to(docs):
            place = target.relative_to(docs)
        else:
            place = REPOSITORY / target.relative_to(docs.parent)
        return link[1] + posixpath.relpath(place.as_posix(), here.parent.as_posix())

    return _LINK.sub(moved, markdown)


def _targets(page: Path) -> set[Path]:
    """Files of the repository that a page links to."""
    links = (match[2] for match in _LINK.finditer(page.read_text(encoding="utf-8")))
    return {target for link in links if (target := _resolved(page, link)) is not None}


def _resolved(page: Path, link: str) -> Path | None:
    """The file that a relative link means; None for addresses and for what is not there."""
    target = (page.parent / link).resolve()
    return target if "://" not in link and target.is_file() else None
