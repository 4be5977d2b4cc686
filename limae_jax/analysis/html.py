"""A self-contained HTML page, with embedded pictures and no requests to other hosts."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

from limae_jax.analysis.tables import NOT_REACHED, Table
from limae_jax.checks import printable

# Browsers send no requests to other hosts, whatever the page contains.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_CSS = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 1.5rem auto; max-width: 72rem;
       padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.25rem; margin: 2.4rem 0 .5rem; }
nav { font-size: 14px; background: #f4f7fa; border-radius: 6px; padding: .6rem 1rem; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: 0; padding: 0; }
a { color: #0b5c92; }
.scroll { overflow-x: auto; overflow-wrap: normal; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem .25rem 0; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap;
         vertical-align: top; }
th { border-bottom: 2px solid #888; }
td.name { white-space: normal; min-width: 7rem; }
tr:hover td { background: #f4f7fa; }
td.missed { color: #666; font-style: italic; }
figure { margin: 1.2rem 0 2rem; }
figcaption, .about { color: #444; max-width: 60rem; margin: .3rem 0 .8rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1rem; }
.panels div { min-width: 0; }
.panels img { display: block; width: 100%; max-width: 25rem; height: auto; }
.panels p { margin: 0; font-size: 13.5px; font-weight: 600; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1.4rem; margin: 0 0 .6rem; padding: 0;
          font-size: 13.5px; }
.legend li { display: flex; align-items: baseline; }
.legend i { flex: none; width: 2.4em; height: .9em; margin-right: .4em; background: no-repeat center / contain; }
.notes { background: #fff6e0; border-left: 4px solid #e69f00; padding: .5rem 1rem; margin: 1rem 0; }
.notes ul { margin: 0; padding-left: 1.2rem; }
"""


class Figure(NamedTuple):
    """A picture on the page.

    Attributes:
        section: heading under which it appears.
        caption: one or two sentences.
        panels: title and `data:` URI of each, in as many columns as fit.
        legend: method -> text beside its name.
    """

    section: str
    caption: str
    panels: Sequence[tuple[str, str]]
    legend: dict[str, str]


def page(
    title: str,
    facts: Sequence[str],
    notes: Sequence[str],
    tables: Sequence[Table],
    figures: Sequence[Figure],
    keys: dict[str, str],
) -> str:
    """Returns an HTML document: contents, the first table, notes, pictures, the other tables, and how to read them.

    Args:
        title: of the page.
        facts: sentences that explain the report.
        notes: warnings, one sentence each.
        tables: in order.
        figures: in order; figures of a section are grouped.
        keys: method -> `data:` URI of its key in a legend.
    """
    sections = [(table.title, _table(table)) for table in tables[:1]]
    numbers = {method: number for number, method in enumerate(keys)}
    for name in dict.fromkeys(figure.section for figure in figures):
        sections.append((name, "\n".join(_figure(one, numbers) for one in figures if one.section == name)))
    sections += [(table.title, _table(table)) for table in tables[1:]]
    sections.append(("How to read this", "".join(f"<p>{_text(fact)}</p>" for fact in facts)))
    links = "".join(f'<li><a href="#s{n}">{_text(name)}</a></li>' for n, (name, _) in enumerate(sections))
    bodies = [
        f'<section id="s{n}">\n<h2>{_text(name)}</h2>\n{body}\n</section>' for n, (name, body) in enumerate(sections)
    ]
    warnings = "".join(f"<li>{_text(note)}</li>" for note in notes)
    if notes:
        bodies.insert(1, f'<div class="notes"><ul>{warnings}</ul></div>')
    body = f"<h1>{_text(title)}</h1>\n<nav><ul>{links}</ul></nav>\n" + "\n".join(bodies)
    looks = "".join(
        f'.legend .k{numbers[method]} {{ background-image: url("{uri}"); }}\n' for method, uri in keys.items()
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{_text(title)}</title>\n'
        # Browsers ask for an icon unless the page has one.
        f'<link rel="icon" href="data:,">\n<style>{_CSS}{looks}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n'
    )


def _text(text: str) -> str:
    """Escapes text so that browsers show it literally."""
    return html.escape(printable(text), quote=True)


def _figure(figure: Figure, numbers: dict[str, int]) -> str:
    names = "".join(
        f'<li><i class="k{numbers[method]}"></i>{_text(f"{method} {said}".strip())}</li>'
        for method, said in figure.legend.items()
    )
    legend = f'<ul class="legend">{names}</ul>\n' if names else ""
    panels = "\n".join(
        f'<div><p>{_text(title)}</p><img alt="{_text(title)}" src="{uri}"></div>' for title, uri in figure.panels
    )
    caption = f"<figcaption>{_text(figure.caption)}</figcaption>"
    return f'<figure>{caption}\n{legend}<div class="panels">\n{panels}\n</div></figure>'


def _table(table: Table) -> str:
    header = "".join(f"<th>{_text(name)}</th>" for name in table.header)
    rows = "\n".join(f"<tr>{''.join(map(_cell, table.header, row))}</tr>" for row in table.rows)
    return (
        f'<p class="about">{_text(table.about)}</p>\n'
        f'<div class="scroll"><table>\n<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>'
    )


def _cell(header: str, text: str) -> str:
    kind = "missed" if text.startswith(NOT_REACHED) else "name" if header in ("map", "method") else ""
    return f'<td class="{kind}">{_text(text)}</td>' if kind else f"<td>{_text(text)}</td>"
