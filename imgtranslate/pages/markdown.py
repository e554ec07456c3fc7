"""Text from outside in Markdown, which may contain HTML and mathematics."""

import re
from collections.abc import Iterable, Sequence

from imgtranslate.pages import shown


def plain(text: str, *, limit: int = 160) -> str:
    """Write a text with entities in place of everything that Markdown or HTML could read."""
    found = re.sub(r"(?i)(?<=www)\.", "&#46;", shown(text, limit=limit).replace("&", "&amp;"))
    special = r"[\\`*_{}\[\]<>|~$@]|#(?!\d+;)|:(?=//|\w+:)"  # the last one: links and emoji
    return re.sub(special, lambda m: f"&#{ord(m[0])};", found)


def code(text: str) -> str:
    """Write a text as inline code."""
    if re.fullmatch(r"[\w .,%=+-]+", text, re.ASCII):
        return f"`{text}`"
    return f"<code>{plain(text)}</code>" if text else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int]) -> str:
    """Write a table of cells in Markdown; the columns in ``right`` are aligned to the right."""
    aligned = set(right)
    marks = ["---:" if number in aligned else "---" for number in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, marks, *rows))
