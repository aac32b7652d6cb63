"""Values as typed: what Hydra's grammar does not know is taken as the text that it is.

Hydra's grammar gives a meaning to ``= ( ) [ ] { } , : \\`` and quotes, and refuses ``~ # & !`` and every letter beyond
ASCII. A value is read here from left to right; lists, mappings, quotes, functions and sweeps keep their meaning, and
each text between them that Hydra would refuse, or change, is put into quotes.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_OPENING = {"(": ")", "[": "]", "{": "}"}
_CALL = re.compile(r"[A-Za-z_][\w-]*\s*\(")


def as_typed(value: str, *, literal: bool, swept: bool) -> str:
    """The value in Hydra's grammar.

    Parameters
    ----------
    literal : whether the option holds text: a path ``1e3`` is no number, ``{seed}`` no mapping.
    swept : whether a comma outside of brackets and quotes separates the values of a sweep.
    """
    parts, at = [], 0
    while at < len(value):
        written, end = _element(value, at, "," if swept else "", literal)
        parts.append(written)
        if end < len(value):
            parts.append(value[end])
        at = end + 1
    return "".join(parts)


def quoted(text: str) -> str:
    """The text in quotes, as Hydra and OmegaConf read it back."""
    from hydra.core.override_parser.types import Quote, QuotedString

    if text.count("${") > len(re.findall(r"\$\{[^}]*\}", text)):  # to OmegaConf, the beginning of an interpolation
        text = text.replace("${", r"\${")
    return QuotedString(text, Quote.single).with_quotes()


def parsed(word: str) -> Any:
    """Hydra's reading of one word, ``option=value``; None if it refuses it."""
    from hydra.errors import HydraException

    try:
        return _parser().parse_rule(word, "override")  # parse_overrides, without its advice
    except HydraException:
        return None


@cache
def _parser() -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create()


# Each of these reads what begins at ``at``, and returns it in Hydra's grammar, and where it ends; the forms return None
# where the text is not of that form.


def _element(text: str, at: int, ends: str, literal: bool) -> tuple[str, int]:
    start = _past_spaces(text, at)
    # Texts are given alone or in one list: a bracket within it is a part of a text, as in layers=[[ab]].
    containers = [*([] if literal and "]" in ends else [_list]), *([] if literal else [_mapping])]
    for form in (_quoted, *containers, _call):
        found = form(text, start, literal)
        if found is not None:
            end = _past_spaces(text, found[1])
            if end == len(text) or text[end] in ends:
                return found[0], end
    end = _end_of_text(text, start, ends)
    return _leaf(text[start:end].rstrip(), literal), end


def _quoted(text: str, at: int, _literal: bool) -> tuple[str, int] | None:
    quote = text[at : at + 1]
    if quote not in ("'", '"'):
        return None
    end = at + 1
    while end < len(text) and text[end] != quote:
        end += 2 if text[end] == "\\" else 1
    if end < len(text):
        return text[at : end + 1], end + 1
    inner = text[at + 1 : -1]  # 'C:\dir\': to Hydra the quote at the end would be part of the text
    return (quoted(inner), len(text)) if text.endswith(quote) and inner and quote not in inner else None


def _list(text: str, at: int, literal: bool) -> tuple[str, int] | None:
    return _container(text, at, "[]", lambda i: _element(text, i, ",]", literal))


def _mapping(text: str, at: int, literal: bool) -> tuple[str, int] | None:
    def pair(i: int) -> tuple[str, int] | None:
        key = re.compile(r"\s*([^:,{}\[\]'\"]+?)\s*:").match(text, i)
        if key is None:
            return None
        written, end = _element(text, key.end(), ",}", literal)
        return f"{_key(key[1])}: {written}", end

    return _container(text, at, "{}", pair)


def _container(text: str, at: int, brackets: str, read: Any) -> tuple[str, int] | None:
    opening, closing = brackets[0], brackets[1]
    if text[at : at + 1] != opening:
        return None
    end, parts = _past_spaces(text, at + 1), []
    if text[end : end + 1] == closing:
        return brackets, end + 1
    while end < len(text):
        found = read(end)
        if found is None:
            return None
        parts.append(found[0])
        end = found[1] + 1
        if text[end - 1 : end] == closing:
            return f"{opening}{','.join(parts)}{closing}", end
    return None


def _call(text: str, at: int, _literal: bool) -> tuple[str, int] | None:
    """A function of Hydra's grammar, such as ``choice(a,b)`` and ``range(1,4)``."""
    begins = _CALL.match(text, at)
    end = None if begins is None else _closed(text, begins.end() - 1)
    if end is None or parsed(f"x={text[at:end]}") is None:
        return None
    return text[at:end], end


def _closed(text: str, at: int) -> int | None:
    """Past the bracket that closes the one at ``at``; None if there is none."""
    waiting: list[str] = []
    for i in range(at, len(text)):
        if text[i] in _OPENING:
            waiting.append(_OPENING[text[i]])
        elif waiting and text[i] == waiting[-1]:
            waiting.pop()
            if not waiting:
                return i + 1
    return None


def _end_of_text(text: str, at: int, ends: str) -> int:
    """Where a text ends; a comma within brackets that are closed again is part of it: ``a[1,2].pth``."""
    i = at
    while i < len(text) and text[i] not in ends:
        closed = _closed(text, i) if text[i] in _OPENING and ends else None
        inside = closed is not None and (closed < len(text) or ends == ",")
        i = closed if inside and closed is not None else i + 1
    return i


def _past_spaces(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t":
        at += 1
    return at


def _leaf(text: str, literal: bool) -> str:
    if not text or text.lower() == "null":
        return text
    word = parsed(f"x={text}")
    if word is None or word.is_sweep_override() or text.endswith("\\"):  # which would take the comma after it
        return quoted(text)
    found = word.value()
    plain = isinstance(found, str) and (found == text or "${" in text or "\\\\" not in text)
    return text if plain or not literal else quoted(text)


def _key(name: str) -> str:
    """A name in a mapping, which Hydra takes with backslashes only, not in quotes."""
    from hydra._internal.grammar.utils import escape_special_characters

    return name if parsed(f"x={{{name}: 0}}") is not None else escape_special_characters(name)
