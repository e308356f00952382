"""Reports: Markdown that reads well as text, and the same as one HTML file with its pictures
inside.
"""

import base64
import html
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from markdown_it import MarkdownIt

from keras_vae import _files

__all__ = ["table", "write_html"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse } td, th { padding: .25rem .75rem; border-bottom: 1px solid #ddd; text-align: left }
img { max-width: 100% } code { background: #f3f3f3; padding: .1rem .3rem }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } code { background: #333 } }
"""


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table.

    Example:
        >>> print(table(["what", "value"], [("rate", 25.1)]))
        | what | value |
        | --- | --- |
        | rate | 25.1 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def write_html(markdown: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Writes a Markdown file as one HTML file, with the pictures it names embedded."""
    markdown = Path(markdown)
    text = markdown.read_text()
    body = MarkdownIt("commonmark").enable("table").render(text)

    def embed(match: re.Match) -> str:
        picture = base64.b64encode((markdown.parent / match[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{picture}"'

    body = re.sub(r'src="([^":]+\.png)"', embed, body)
    title = html.escape(text.splitlines()[0].lstrip("# "))
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    _files.write(
        path,
        f"<!doctype html><html lang=en><head>{head}<title>{title}</title><style>{_STYLE}</style></head>"
        f"<body>{body}</body></html>\n",
    )
