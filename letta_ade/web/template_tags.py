"""Template tags and filters that format. They ask no database."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django import template
from django.conf import settings
from django.contrib.staticfiles import finders
from django.http import QueryDict
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from letta_ade.accounts.auth import Action, Caller

register = template.Library()

#: An age above this is told as a date.
DATED_AFTER_DAYS = 30


@register.simple_tag
def asset(path: str) -> str:
    """The address of an own static file; it changes when the file does, so that browsers may keep it."""
    return f"{static(path)}?v={_stamp(path) if not settings.DEBUG else _stamp.__wrapped__(path)}"


@cache
def _stamp(path: str) -> str:
    found = finders.find(path)
    if not isinstance(found, str):
        raise template.TemplateSyntaxError(f"There is no static file {path!r}.")
    status = Path(found).stat()
    return f"{status.st_mtime_ns // 1_000_000 ^ status.st_size:x}"


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """An icon of the sprite, hidden from screen readers. `extra` are more classes: `{% icon "plus" "i-14" %}`."""
    return format_html(
        '<svg class="i {}" aria-hidden="true"><use href="{}#{}"/></svg>'
        if extra
        else '<svg class="i{}" aria-hidden="true"><use href="{}#{}"/></svg>',
        extra,
        asset("vendor/icons.svg"),
        name,
    )


@register.filter
def age(then: datetime | None) -> str:
    """How long ago: now, 8 s, 4 min, 2 h, 3 d, then the date. Nothing for None."""
    if then is None:
        return ""
    now = timezone.now()
    seconds = int((now - then).total_seconds())
    if seconds < 5:
        return "now"
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86_400:
        return f"{seconds // 3600} h"
    if seconds < DATED_AFTER_DAYS * 86_400:
        return f"{seconds // 86_400} d"
    return day(then)


@register.filter
def day(then: datetime | None) -> str:
    """12 Oct, or 12 Oct 2025 when it is another year."""
    if then is None:
        return ""
    local = timezone.localtime(then)
    text = f"{local.day} {local:%b}"
    return text if local.year == timezone.localtime().year else f"{text} {local.year}"


@register.simple_tag
def ago(then: datetime | None, empty: str = "—") -> SafeString | str:
    """`<time>` with the age; the exact moment is its title, and behaviors/ages.js keeps it true."""
    if then is None:
        return empty
    moment = then.astimezone(UTC)
    return format_html(
        '<time data-age datetime="{}" title="{}">{}</time>',
        moment.isoformat(timespec="milliseconds"),
        f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        age(then),
    )


@register.simple_tag
def until(then: datetime) -> SafeString:
    """`<time>` with the time that is left, in the words of an age; behaviors/ages.js keeps it true."""
    now = datetime.now(UTC)
    moment = then.astimezone(UTC)
    return format_html(
        '<time data-until datetime="{}" title="{}">{}</time>',
        moment.isoformat(timespec="milliseconds"),
        f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        age(now - (moment - now)) if moment > now else "now",
    )


@register.filter
def marked(text: str, words: str) -> SafeString:
    """The text, escaped, with each place where one of these words stands as `<mark>`; capital letters make no difference."""
    found = [re.escape(word) for word in words.split()]
    if not found:
        return format_html("{}", text)
    parts = re.split(f"({'|'.join(found)})", text, flags=re.IGNORECASE)
    pieces = (format_html("<mark>{}</mark>" if place % 2 else "{}", part) for place, part in enumerate(parts))
    return format_html_join("", "{}", ((piece,) for piece in pieces))


@register.filter
def thousands(number: int | None) -> str:
    """50,608; nothing for None."""
    return "" if number is None else f"{number:,}"


@register.filter
def compact(number: int | None) -> str:
    """14.2M, 128k, 950: for places that are narrow."""
    if number is None:
        return ""
    for unit, size in (("M", 1_000_000), ("k", 1000)):
        if number >= size:
            text = f"{number / size:.1f}" if number < 100 * size else f"{number / size:.0f}"
            return f"{text.removesuffix('.0')}{unit}"
    return str(number)


@register.filter
def milliseconds(number: float | None) -> str:
    """41 ms, 7.2 s, 21 s, 3 min 20 s; nothing for None."""
    if number is None:
        return ""
    if number < 1000:
        return f"{number:.0f} ms"
    seconds = number / 1000
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


@register.filter
def seconds(number: float | None) -> str:
    """The same for a number of seconds."""
    return "" if number is None else milliseconds(number * 1000)


@register.filter
def dollars(amount: float | None) -> str:
    """$1.24, $0.071, $0.0004; unknown for None."""
    if amount is None:
        return "unknown"
    if amount == 0:
        return "$0"
    if amount < 0.0001:
        return "< $0.0001"
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.2g}" if amount < 0.001 else f"${amount:.3f}"


@register.filter
def short_id(public_id: str) -> str:
    """agent-7c1e…1b94: the kind, and both ends of the UUID."""
    kind, dash, uuid = public_id.partition("-")
    return f"{kind}{dash}{uuid[:4]}…{uuid[-4:]}" if len(uuid) > 12 else public_id


@register.filter
def initials(name: str) -> str:
    """IM for Ines Moreau, N for nightly."""
    words = [word for word in name.replace(".", " ").replace("_", " ").split() if word[0].isalnum()]
    return "".join(word[0] for word in (words if len(words) < 2 else [words[0], words[-1]])).upper() or "?"


@register.filter
def percent(part: float | None, whole: float | None) -> int:
    """How many whole percent `part` is of `whole`; more than nothing is at least 1."""
    if not part or not whole:
        return 0
    return max(1, int(part * 100 / whole))


@register.filter
def meter_level(used: int, limit: int) -> str:
    """The `data-level` of a meter: warn from 90 %, bad when it is full."""
    if limit and used >= limit:
        return "bad"
    return "warn" if limit and used * 10 >= limit * 9 else ""


@register.filter
def plural(number: int, words: str) -> str:
    """`{{ n|plural:"agent,agents" }}`: the number and the word that fits it."""
    one, _, many = words.partition(",")
    return f"{number:,} {one if number == 1 else many}"


@register.simple_tag(takes_context=True)
def address_with(context: template.Context, **changes: Any) -> str:
    """This page's address with other parameters; an empty value removes one, and paging starts anew."""
    request = context["request"]
    query: QueryDict = request.GET.copy()
    query.pop("after", None)
    for name, value in changes.items():
        if value in ("", None):
            query.pop(name, None)
        else:
            query[name] = str(value)
    return f"{request.path}?{query.urlencode()}" if query else request.path


@register.simple_tag(takes_context=True)
def address_without(context: template.Context, name: str, value: str) -> str:
    """This page's address without one value of one parameter."""
    request = context["request"]
    pairs = [
        (key, item)
        for key, items in request.GET.lists()
        for item in items
        if key != "after" and (key, item) != (name, value)
    ]
    return f"{request.path}?{urlencode(pairs)}" if pairs else request.path


@register.filter
def may(caller: Caller | None, action: Action) -> bool:
    """Whether the caller's role allows the action: `{% if caller|may:"edit" %}`."""
    return caller is not None and caller.can(action)


@register.filter
def first_line(text: str | None) -> str:
    """What stands before the first line end."""
    return (text or "").strip().partition("\n")[0]


@register.filter
def marked_phrase(text: str | None, sought: str) -> SafeString:
    """The text, escaped, with what was looked for in `<mark>`, in any case."""
    parts = re.split(f"({re.escape(sought)})", text or "", flags=re.IGNORECASE) if sought else [text or ""]
    shown = (format_html("<mark>{}</mark>" if at % 2 else "{}", part) for at, part in enumerate(parts))
    return format_html_join("", "{}", ((part,) for part in shown))
