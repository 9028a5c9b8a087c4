"""
What is wrong with one text: damaged encoding, role markers, template tokens, nothing in it.

Covers: UTF-8 read as a single-byte encoding (ftfy's rules), or as GBK where a whole text can be
read back or its commonest signs stand twice; U+FFFD and its GBK form; control characters; lone
surrogates; invisible characters where no script needs them. Does not cover: other multi-byte
encodings (Big5, Shift-JIS), wrong but valid letters.

Each `LOOKS_…` pattern is a sieve in the syntax that Python's `re` and polars share: what passes it
is looked at by the function that decides, and what does not pass needs no look.
"""

import re

import ftfy
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad

_FIXES = ftfy.TextFixerConfig(  # the damage alone: quotes, widths and entities are the author's own
    unescape_html=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    fix_line_breaks=False,
    normalization=None,
    explain=False,
)
_MARKS = "".join(
    MOJIBAKE_CATEGORIES[name]
    for name in (
        *("bad", "law", "currency", "start_punctuation", "end_punctuation", "numeric"),
        *("upper_accented", "lower_accented", "box"),
    )
)
_WIDE = "\u2e80-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00010000-\U0010ffff"
_NARROW = f"[^\\x00-\\x7f{_WIDE}]"  # what a single-byte encoding can hold beside ASCII
_LOST = "\ufffd|锟斤拷"
_CONTROL = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
_SEA = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer: words parted by U+200B
_PLAIN = "\x00-\u024f\u2e80-\ud7ff\uff00-\uffef"  # no letter of these joins or parts by a joiner
_INVISIBLE = f"\ufeff|\u2060|(?:^|[^{_SEA}\u200b])\u200b+(?:[^{_SEA}\u200b]|$)|(?:^|[{_PLAIN}])[\u200c\u200d]"
_GBK_SIGNS = "[锛銆鐨鏄浣鎴涓闂璇鍚妯鍨]"  # first halves of ， 。 的 是 你 我 不 问 and others, read as GBK

LOOKS_DAMAGED = (
    f"[{_MARKS}]{_NARROW}|{_NARROW}[{_MARKS}]|[ŒœÃÂ]|вЂ|[ВГРС]{_NARROW}[ВГРС]"
    f"|{_CONTROL}|{_LOST}|[\ufeff\u2060\u200b-\u200d]|{_GBK_SIGNS}"
)
"""What may have damaged encoding."""

_ROLES = "user|human|assistant|system|bot|用户|人类|助手|系统"
_MARKER = (
    rf"(?:\[|<)?(?:{_ROLES})(?:\]|>)?[ \t]*[:：]|#{{2,6}}[ \t]*(?:{_ROLES}|instruction|response|指令|回答)[ \t]*[:：]"
)
_LEADING_ROLE = re.compile(rf"^\s*(?:{_MARKER})\s*", re.IGNORECASE)
_LATER_ROLE = re.compile(rf"\n\s*(?:{_MARKER})", re.IGNORECASE)
_TEMPLATE_MARK = (
    r"<[|｜][A-Za-z_▁ ]{1,40}[|｜]>|\[/?INST\]|<</?SYS>>|<eo[ahsm]>|</?(?:start|end)_of_turn>"
    r"|\[UNUSED_TEMPLATE_MARK_\d+\]|^\s*<s>|</s>\s*$|\[(?:CLS|SEP|gMASK)\]"
)
_MARK_ANYWHERE = re.compile(_TEMPLATE_MARK)
_OUTER_MARKS = re.compile(rf"^(?:\s*(?:{_TEMPLATE_MARK}))+\s*|\s*(?:(?:{_TEMPLATE_MARK})\s*)+$")
_SPOKEN_ROLE = re.compile(r"(?<=[|｜]>)\s*(?:user|assistant|system)\s*\n")
LOOKS_ODD = rf"(?i){_TEMPLATE_MARK}|^\s*(?:{_MARKER})"
"""What may have role markers or template tokens in it."""

_LOST_TEXT, _CONTROLS = re.compile(f"{_LOST}|[\ud800-\udfff]"), re.compile(_CONTROL)
_INVISIBLES = re.compile(_INVISIBLE)
_ANY_INVISIBLE = re.compile("[\ufeff\u2060\u200b-\u200d]")
_GBK_TEXT, _GBK_TEXT_FOR_SURE = re.compile(_GBK_SIGNS), re.compile("[锛銆鐨鏄鎴].*[锛銆鐨鏄鎴]", re.DOTALL)
_DAMAGED_SIEVE, _ODD_SIEVE = re.compile(LOOKS_DAMAGED + "|[\ud800-\udfff]"), re.compile(LOOKS_ODD)
# two cheap looks before the dear ones: most texts hold nothing but ASCII, Han and common punctuation
_RARE = re.compile(f"[^\\n\\t -~\u2e80-\u9fff\uff01-\uff5e‘’“”…—]|{_GBK_SIGNS}|锟")
_ODD_SIGNS = ("<", "[", ":", "：")
_UNSEEN = (
    "\ufeff\u2060\u200b\u200c\u200d\xad" + "".join(filter(str.isspace, map(chr, range(0x20, 0x3001)))) + "\t\n\v\f\r"
)


def is_blank(text: str) -> bool:
    """Whether a text holds nothing that is seen."""
    return not text.strip(_UNSEEN)


def is_plain(text: str) -> bool:
    """Whether a text cannot be damaged or odd; says no of some that are neither."""
    if _RARE.search(text) and _DAMAGED_SIEVE.search(text):
        return False
    return not (any(mark in text for mark in _ODD_SIGNS) and _ODD_SIEVE.search(text))


def is_damaged(text: str) -> bool:
    """Whether a text's encoding is damaged."""
    return bool(
        _CONTROLS.search(text)
        or _LOST_TEXT.search(text)
        or is_bad(text)
        or _INVISIBLES.search(text)
        or _GBK_TEXT_FOR_SURE.search(text)
        or _from_gbk(text) is not None
    )


def undamaged(text: str) -> str | None:
    """Return a text as it was before the damage; None where that is lost."""
    mended = _from_gbk(text) or text
    if _LOST_TEXT.search(mended):
        return None
    mended = ftfy.fix_text(mended, _FIXES)
    mended = _CONTROLS.sub("", mended)
    while match := _INVISIBLES.search(mended):
        seen = _ANY_INVISIBLE.sub("", match.group())
        mended = f"{mended[: match.start()]}{seen}{mended[match.end() :]}"
    return None if mended == text or is_damaged(mended) else mended


def _from_gbk(text: str) -> str | None:
    """Read a text of UTF-8 that was read as GBK; None where it is no such text."""
    if not _GBK_TEXT.search(text):
        return None
    try:
        return text.encode("gb18030").decode("utf-8")
    except UnicodeError:
        return None


def is_odd(text: str) -> bool:
    """Whether a text begins with a role marker or holds a template's tokens."""
    return bool(_MARK_ANYWHERE.search(text) or _LEADING_ROLE.match(text))


def without_markers(text: str) -> str | None:
    """Return a text without the markers around it; None where they are within it too or nothing is left."""
    mended = text
    while mended != (mended := _trimmed(mended)):
        pass
    return None if is_blank(mended) or is_odd(mended) or _LATER_ROLE.search(mended) else mended


def _trimmed(text: str) -> str:
    text = _SPOKEN_ROLE.sub("", text, count=1)
    return _LEADING_ROLE.sub("", _OUTER_MARKS.sub("", text)).strip() if is_odd(text) else text
