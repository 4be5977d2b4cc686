"""One page that holds everything, its pictures too: it opens anywhere and asks no other machine for anything."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from limae_jax.analysis.tables import NOT_REACHED, Table

# No browser will ask another machine for anything, whatever is on the page.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_CSS = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 2rem auto; max-width: 72rem;
       padding: 0 1.2rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.4rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap; }
th { border-bottom: 2px solid #888; position: sticky; top: 0; background: #fff; }
tr:hover td { background: #f4f7fa; }
td.missed { color: #777; font-style: italic; }
figure { margin: 1.5rem 0; } figure img { max-width: 100%; height: auto; }
figcaption, .about { color: #444; max-width: 60rem; }
.notes { background: #fff6e0; border-left: 4px solid #e69f00; padding: .5rem 1rem; }
"""


def page(
    title: str,
    facts: Sequence[str],
    notes: Sequence[str],
    tables: Iterable[Table],
    pictures: Iterable[tuple[str, bytes]],
) -> str:
    """A whole HTML document.

    Args:
        title: of the page.
        facts: sentences about what was read.
        notes: warnings, one sentence each.
        tables: in order.
        pictures: caption and SVG of each.
    """
    warnings = "".join(f"<li>{escape(note)}</li>" for note in notes)
    parts = [
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(fact)}</p>" for fact in facts),
        f'<div class="notes"><ul>{warnings}</ul></div>' if notes else "",
        "<h2>Pictures</h2>",
        *(_picture(caption, svg) for caption, svg in pictures),
        *(_table(table) for table in tables),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        # Browsers ask for an icon unless the page has one.
        f'<link rel="icon" href="data:,">\n<style>{_CSS}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n'
    )


def _picture(caption: str, svg: bytes) -> str:
    text = escape(caption, quote=True)
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    return f'<figure><img alt="{text}" src="{source}"><figcaption>{text}</figcaption></figure>'


def _table(table: Table) -> str:
    header = "".join(f"<th>{escape(name)}</th>" for name in table.header)
    rows = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.rows)
    return (
        f'<h2>{escape(table.title)}</h2>\n<p class="about">{escape(table.about)}</p>\n'
        f'<div class="scroll"><table>\n<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>'
    )


def _cell(text: str) -> str:
    kind = ' class="missed"' if text.startswith(NOT_REACHED) else ""
    return f"<td{kind}>{escape(text)}</td>"
