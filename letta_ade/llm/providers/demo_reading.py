"""What the demonstration understands of a text: facts about a person, wishes to remember and recall, commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FACT_CHARACTERS = 200

_SENTENCE = re.compile(r"[^.!?;\n]+(?:[.!?;](?!\s|$)[^.!?;\n]*)*[.!?;]*")
#: "I like tea and I hate rain", "my name is Ada, call me Ad": a new clause begins where the speaker names themselves.
_CLAUSE = re.compile(
    r",?\s+(?:and|but)\s+(?=(?:i|my|you can call|call)\b)|,\s*(?=(?:i|my|you can call|call)\b)", re.I
)

_LEAD = r"^(?:(?:hi|hello|hey|well|oh|so|also|and|but|yes|no|ok|okay|actually|by the way|please|just|there)[,!]?\s+)*"
_ADVERB = r"(?:(?:really|also|just|absolutely|particularly|generally|usually|always|mostly)\s+)*"

_NAME = re.compile(
    _LEAD
    + r"(?:my\s+(?:first\s+|full\s+)?name(?:'s|\s+is)|(?:you\s+can\s+)?call\s+me|i(?:'m|\s+am)\s+called|"
    + r"everyone\s+calls\s+me)\s+(?P<value>.+)$",
    re.I,
)
_I_AM = re.compile(_LEAD + r"i(?:'m|\s+am)\s+" + _ADVERB + r"(?P<value>.+)$", re.I)
_LIKING = re.compile(
    _LEAD
    + r"i\s+"
    + _ADVERB
    + r"(?P<verb>like|love|prefer|enjoy|adore|hate|dislike|detest|avoid|can't\s+stand|cannot\s+stand|don't\s+like|"
    + r"do\s+not\s+like|don't\s+eat|do\s+not\s+eat|don't\s+drink|do\s+not\s+drink)\s+(?P<value>.+)$",
    re.I,
)
_LIVING = re.compile(
    _LEAD + r"i\s+" + _ADVERB + r"(?P<verb>live|work|speak|play|study)\s+(?P<value>.+)$", re.I
)
_MINE = re.compile(
    _LEAD
    + r"my\s+(?P<key>favou?rite\s+[\w ]{2,30}|birthday|job|profession|hobby|hometown|timezone|dog|cat|wife|husband|"
    + r"partner|son|daughter)(?:'s\s+name)?\s+(?:is|are)\s+(?:called\s+|named\s+)?(?P<value>.+)$",
    re.I,
)

_VERBS = {
    "like": "Likes",
    "love": "Loves",
    "prefer": "Prefers",
    "enjoy": "Enjoys",
    "adore": "Adores",
    "hate": "Hates",
    "dislike": "Dislikes",
    "detest": "Detests",
    "avoid": "Avoids",
    "can't stand": "Cannot stand",
    "cannot stand": "Cannot stand",
    "don't like": "Does not like",
    "do not like": "Does not like",
    "don't eat": "Does not eat",
    "do not eat": "Does not eat",
    "don't drink": "Does not drink",
    "do not drink": "Does not drink",
    "live": "Lives",
    "work": "Works",
    "speak": "Speaks",
    "play": "Plays",
    "study": "Studies",
}
#: After "I'm": said of a moment, or the start of something else; neither a name nor worth keeping.
_MOOD_WORDS = """about afraid all alone also annoyed as at available aware away back better bored busy certain cold
confused curious done down excited fine free glad going gonna good great happy here home hot hungry ill in interested
just kidding late lost mad new nervous not off ok okay on online out over pleased proud ready really right sad safe
scared serious sick sleepy so sorry still stressed stuck sure surprised the thinking thirsty tired to too trying under
unable unsure up upset very waiting well with wondering working worried your"""
_MOODS = frozenset(_MOOD_WORDS.split())
_LASTING = frozenset(
    ("vegan", "vegetarian", "diabetic", "married", "single", "retired", "deaf", "blind", "left-handed")
)
_NOT_A_NAME = frozenset(
    (
        "later",
        "back",
        "when",
        "if",
        "tomorrow",
        "maybe",
        "again",
        "anything",
        "whatever",
        "not",
        "a",
        "an",
        "the",
        "on",
    )
)
_NAME_ENDS = re.compile(
    r"\s+(?:from|who|by the way|and|but|please|now|though|instead|thanks)\b.*$|[,(:].*$", re.I
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A line for the `human` block; one with a `key` replaces the line that says something else under that key."""

    line: str
    key: str | None = None


def facts_in(text: str) -> list[Fact]:
    """What the speaker says of themselves, in order, without repetitions; questions say nothing."""
    found: list[Fact] = []
    for sentence in sentences(text):
        if sentence.endswith("?") or sentence.startswith("/"):
            continue
        for clause in _CLAUSE.split(sentence):
            fact = _fact(clause.strip().rstrip(".!;, "))
            if fact is not None and fact not in found:
                found.append(fact)
    return found


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text, with the mark that ends each."""
    # The points of "J. R. Smith" end nothing.
    text = re.sub(r"\b([A-Z])\.(?=\s+[A-Z])", "\\1\u2024", text.replace("’", "'"))
    found = (match.group().strip().replace("\u2024", ".") for match in _SENTENCE.finditer(text))
    return (sentence for sentence in found if sentence.strip(" .!?;"))


def _fact(clause: str) -> Fact | None:
    # "Remember that my name is Ada" says the name as well.
    clause = re.sub(r"^(?:please\s+)?(?:remember|note)(?:\s+that)?:?\s+", "", clause, flags=re.I)
    if match := _NAME.match(clause):
        name = _name(match["value"])
        return Fact(key="Name", line=f"Name: {name}") if name else None
    if match := _I_AM.match(clause):
        return _being(match["value"])
    if match := _LIKING.match(clause):
        value = _value(match["value"])
        if value.lower() in ("it", "that", "this", "them", "you"):
            return None
        return Fact(line=f"{_VERBS[_spaced(match['verb'])]} {value}")
    if match := _LIVING.match(clause):
        verb, value = match["verb"].lower(), _value(match["value"])
        place = re.match(r"(in|at|as|for)\b", value, re.I)
        if verb in ("live", "work") and place is None:
            return None
        key = f"{_VERBS[verb]} {place.group().lower()}" if place and verb in ("live", "work") else None
        return Fact(key=key, line=f"{_VERBS[verb]} {value}")
    if match := _MINE.match(clause):
        key = _spaced(match["key"]).capitalize()
        return Fact(key=key, line=f"{key}: {_value(match['value'])}")
    return None


def _being(said: str) -> Fact | None:
    """ "I'm …": a name, a lasting trait, or a mood that is not kept."""
    first = re.split(r"[\s,]", said, maxsplit=1)[0].lower()
    if first == "from":
        return Fact(key="From", line=f"From {_value(said[5:])}")
    if first in ("a", "an") or first in _LASTING or re.match(r"\d+ years old|allergic to", said, re.I):
        return Fact(line=f"Is {_value(said)}")
    if first in _MOODS or first.endswith(("ing", "ed")) or first in _NOT_A_NAME:
        return None
    name = _name(said)
    words = name.split() if name else []
    # "I'm Ada Lovelace" is a name, "I'm quite sure of that" is not; one word alone may be in small letters.
    looks_like_name = all(word[:1].isupper() for word in said.split()[: len(words)])
    if not words or len(words) > 3 or not (looks_like_name or (len(words) == 1 and first.isalpha())):
        return None
    return Fact(key="Name", line=f"Name: {name}")


def _name(said: str) -> str | None:
    cut = _NAME_ENDS.sub("", said.strip().strip("\"'“”")).strip().strip("\"'“”")
    words = cut.split()
    if not words or len(words) > 4 or words[0].lower() in _NOT_A_NAME:
        return None
    # Typed all in small or all in capital letters: give each part a capital.
    if cut.islower() or (cut.isupper() and len(cut) > 2):
        return " ".join(word[:1].upper() + word[1:].lower() for word in words)
    return " ".join(words)


def _value(said: str) -> str:
    return re.sub(r"\s+(?:too|as well|by the way)$", "", " ".join(said.split()), flags=re.I)[
        :_FACT_CHARACTERS
    ]


def _spaced(words: str) -> str:
    return " ".join(words.lower().split())


_REMEMBER = re.compile(
    _LEAD
    + r"(?:remember|keep\s+in\s+mind|note|save|store)(?:\s+that\s+|\s+this\s*:\s*|\s*:\s*)(?P<value>.+)$",
    re.I,
)
_REMEMBER_BARE = re.compile(_LEAD + r"remember\s+(?!me\b|when\b|what\b|how\b|to\b)(?P<value>.+)$", re.I)
_RECALL = (
    re.compile(r"\bwhat\s+do\s+you\s+(?:know|remember)\s+about\s+(?P<value>.+)$", re.I),
    re.compile(r"\bdo\s+you\s+(?:remember|recall)\s+(?:anything\s+about\s+)?(?P<value>.+)$", re.I),
    re.compile(_LEAD + r"recall\s+(?:what\s+you\s+know\s+about\s+|anything\s+about\s+)?(?P<value>.+)$", re.I),
    re.compile(
        _LEAD
        + r"(?:search|look)\s+(?:in\s+|through\s+)?(?:(?:your|my|the)\s+)?(?:(?:archival|archive|memory|memories|notes)\s+)*"
        + r"(?:for|about)\s+(?P<value>.+)$",
        re.I,
    ),
    re.compile(_LEAD + r"search\s+(?P<value>.+)$", re.I),
)
_SAID = (
    re.compile(
        r"\bwhat\s+(?:did|have)\s+(?:i|we)\s+(?:say|said|tell\s+you|talked?)\s+about\s+(?P<value>.+)$", re.I
    ),
    re.compile(r"\bwhen\s+did\s+(?:i|we)\s+(?:mention|talk\s+about)\s+(?P<value>.+)$", re.I),
    re.compile(
        r"\bsearch\s+(?:our|the|this|my)\s+(?:conversations?|messages|chat|history)\s+(?:for|about)\s+(?P<value>.+)$",
        re.I,
    ),
)
_ABOUT_ME = re.compile(
    r"\bwho\s+am\s+i\b|\bwhat(?:'s|\s+is)\s+my\s+\w+|\b(?:know|remember)\s+about\s+me\b|\bwhat\s+do\s+i\s+"
    r"(?:like|love|prefer|hate)\b|\bdo\s+you\s+(?:remember|know)\s+(?:me|my\s+\w+)\b",
    re.I,
)
_THINK = re.compile(r"(?:^|\s)/think\b|\bthink\b|\breason(?:ing)?\b", re.I)


def asks_about_speaker(text: str) -> bool:
    """Whether the question is answered by the `human` block."""
    return bool(_ABOUT_ME.search(text.replace("’", "'")))


def asks_to_think(text: str) -> bool:
    """Whether visible reasoning was asked for."""
    return bool(_THINK.search(text))


def things_to_remember(text: str) -> list[str]:
    """What is to go to archival memory, one entry for each sentence that asks for it."""
    found = []
    for sentence in sentences(text):
        if sentence.endswith("?"):
            continue
        if match := _REMEMBER.match(sentence) or _REMEMBER_BARE.match(sentence):
            found.append(_capitalised(match["value"].strip().rstrip(".!;, ")))
    return found


def thing_said(text: str) -> str | None:
    """What to look for in the conversation, if that is asked."""
    return _first_match(_SAID, text)


def thing_to_recall(text: str) -> str | None:
    """What to look for in archival memory, if that is asked."""
    return _first_match(_RECALL, text)


def _first_match(patterns: tuple[re.Pattern[str], ...], text: str) -> str | None:
    for sentence in sentences(text):
        for pattern in patterns:
            if match := pattern.search(sentence.rstrip(".!?;, ")):
                return match["value"].strip().strip("\"'“”") or None
    return None


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
