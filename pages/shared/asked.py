"""Every question under a page's "Why?", in one list that can be searched. No Streamlit in here.

Pages make their answers of numbers they compute, so the list is not read off their source: it is
`asked.json`, which `python -m tools.questions` writes by running every page, and which a test
holds to what the pages ask.
"""

from __future__ import annotations

import functools
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

INDEX = Path(__file__).with_name("asked.json")
MOST_CHARACTERS = 80
"""Of a search that comes out of an address."""
NEAREST = 8
"""How many are shown, at most, that have not all of the words."""
MOST = 16
"""How many are shown, at most, whose score falls off from the best one's."""
NEAR, FAR, INSTEAD = 0.5, 0.4, 0.8
"""Which share of the best score is near it or far, and what a word counts that stands for another.
"""
_LETTERS = {
    "α": "alpha", "β": "beta", "γ": "gamma", "ε": "eps", "ϵ": "eps", "η": "eta", "θ": "theta",
    "μ": "mu", "σ": "sigma", "φ": "phi", "ϕ": "phi", "∇": "gradient", "√": "sqrt",
}  # fmt: skip
_SAME = {"epsilon": "eps", "variances": "variance", "images": "picture", "image": "picture"}
_SMALL = frozenset({
    "a", "about", "am", "an", "and", "are", "as", "at", "be", "but", "by", "can", "could", "did",
    "do", "does", "exactly", "for", "from", "get", "has", "have", "how", "i", "if", "in", "into",
    "is", "it", "its", "just", "like", "many", "me", "much", "my", "need", "of", "on", "or",
    "really", "should", "so", "than", "that", "the", "their", "them", "then", "there", "they",
    "this", "to", "us", "versus", "vs", "want", "was", "we", "what", "when", "where", "which",
    "who", "why", "will", "with", "work", "works", "would", "you", "your",
})  # fmt: skip
_ALSO = {
    "cfg": ("guidance",), "determin": ("ddim", "eta"), "fast": ("steps", "calls"),
    "flow": ("ode",), "generaliz": ("generalis",), "memoriz": ("memoris",),
    "normaliz": ("normalis",), "overfit": ("memoris",), "predict": ("names",),
    "quality": ("recognised",), "random": ("fresh",), "scheduler": ("sampler",),
    "speed": ("steps", "calls"), "stochast": ("fresh", "eta"), "timestep": ("step", "steps"),
    "unet": ("network",), "vlb": ("bound",),
}  # fmt: skip
"""Beginning of a word that is typed -> words of the answers that mean it."""
_PHRASES = (("classifier free guidance", "guidance"), ("classifier free", "guidance"))
"""Several words that are typed -> the one by which it is asked."""
_READERS = {
    "Why does sampling begin at 981": "timestep timesteps 999 trailing leading spacing",
    "The loss stalls far above 0": "plateau plateaus stuck flat converge decreasing",
    "My samples look right, but they are tinted": "picture black white gray color colour",
    "The target is noise drawn at random": "predict prediction predicting",
    "If all targets can be converted": "predict prediction predicting noise eps x0",
    "So which target makes the best": "predict prediction predicting",
}
"""Beginning of a question -> words by which readers ask for it."""
_IN_ASKS, _IN_TITLE, _IN_ANSWER = 3.0, 2.0, 1.0


class Question(NamedTuple):
    """One confusion of one page.

    Attributes:
        page: the page's name in the address.
        asks: the question, as the page puts it.
        threads: where people asked it, as `thread` reads them.
        words: the words of the answer, for the search.
    """

    page: str
    asks: str
    threads: tuple[str, ...]
    words: str

    @property
    def address(self) -> str:
        """Link to the answer, relative to any page's address."""
        return address(self.page, self.asks)


@functools.cache
def questions() -> tuple[Question, ...]:
    """All of them, in the order of the pages' names and of each page."""
    rows = json.loads(INDEX.read_text(encoding="utf-8"))
    return tuple(Question(r["page"], r["asks"], tuple(r["threads"]), r["words"]) for r in rows)


def readers_words(asks: str) -> str:
    """Words that are not in a question, and by which readers ask for it."""
    return " ".join(words for start, words in _READERS.items() if asks.startswith(start))


def words_of(text: str) -> list[str]:
    """The words of a text, plain: small letters, Greek by name, no accents, ₜ as t."""
    flat = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    named = "".join(f" {_LETTERS[c]} " if c in _LETTERS else c for c in flat.casefold())
    return [_SAME.get(word, word) for word in re.findall(r"[a-z0-9]+", named)]


def slug(asks: str) -> str:
    """A question's name in an address: its first words."""
    return "-".join(words_of(asks)[:10])


def address(page: str, asks: str) -> str:
    """Link to the answer of a page's question, relative to any page's address."""
    return f"{page}?why={slug(asks)}"


def thread(mark: str) -> tuple[str, str | None]:
    """How a public thread is named, and its address.

    Args:
        mark: `owner/repository#12`; the address of a thread; or words, where there is neither.
    """
    found = re.fullmatch(r"([\w.-]+)/([\w.-]+)#(\d+)", mark)
    if found:
        owner, name, number = found.groups()
        return f"{name} #{number}", f"https://github.com/{owner}/{name}/issues/{number}"
    asked = re.fullmatch(r"https://(\w+)\.stackexchange\.com/(?:q|questions)/(\d+)/?", mark)
    if asked:
        site, number = asked.groups()
        name = {"ai": "AI", "stats": "Cross Validated"}.get(site, site.capitalize())
        return f"{name} {number}" if " " in name else f"{name} Stack Exchange {number}", mark
    if mark.startswith("https://"):
        return mark.removeprefix("https://").split("/")[0], mark
    return mark, None


class Found(NamedTuple):
    """What a search gave.

    Attributes:
        questions: the best first.
        whole: whether one of them has all the words that count.
    """

    questions: list[Question]
    whole: bool


def wanted_words(wanted: str) -> list[str]:
    """The words of a search that count: not what every other sentence holds, "why" or "the"."""
    text = " ".join(words_of(wanted))
    for phrase, word in _PHRASES:
        text = text.replace(phrase, word)
    asked = list(dict.fromkeys(text.split()))
    return [word for word in asked if word not in _SMALL] or asked


def find(wanted: str, contents: Mapping[str, str], among: Sequence[Question]) -> Found:
    """Questions for a search, best first.

    A word counts the more, the fewer questions it is in, in the question more than in the answer,
    and least if another stands for it; of equals, the shorter question comes first. Given are
    those that have all words, and what comes near the best; many only as far as they come near.

    Args:
        wanted: what was typed.
        contents: page -> its title and question, which are searched, too.
        among: the questions to choose from; all of them are given back for an empty search.
    """
    asked = wanted_words(wanted)
    if not asked:
        return Found(list(among), True)
    best = [
        [_weight(word, _places(question, contents.get(question.page, ""))) for word in asked]
        for question in among
    ]
    held = Counter(i for row in best for i, weight in enumerate(row) if weight)
    rare = [math.log((1 + len(among)) / (1 + held[i])) + 0.1 for i in range(len(asked))]
    score = [sum(w * r for w, r in zip(row, rare, strict=True)) for row in best]
    order = sorted(range(len(among)), key=lambda i: (-score[i], len(among[i].asks)))
    near = [i for i in order[:NEAREST] if score[i] > NEAR * score[order[0]]]
    given = [i for i in order if all(best[i]) or i in near]
    given = given[:MOST] + [i for i in given[MOST:] if score[i] > FAR * score[order[0]]]
    return Found([among[i] for i in given], any(all(best[i]) for i in given))


def pages_for(wanted: str, contents: Mapping[str, str]) -> list[str]:
    """Pages whose title and question hold all words of a search that count."""
    asked = wanted_words(wanted)
    found = {page: frozenset(words_of(text)) for page, text in contents.items()}
    return [page for page, words in found.items()
            if asked and all(_weight(word, ((1.0, words),)) for word in asked)]  # fmt: skip


def _weight(word: str, places: Sequence[tuple[float, frozenset[str]]]) -> float:
    """What a word that was typed counts at the best of places, 0 where it is at none."""
    own = max((w for w, words in places if any(alike(word, o) for o in words)), default=0.0)
    if own:
        return own
    also = {a for start, others in _ALSO.items() if word.startswith(start) for a in others}
    return max(
        (INSTEAD * w for w, words in places if any(alike(a, o) for a in also for o in words)),
        default=0.0,
    )


@functools.cache
def _places(question: Question, about: str) -> tuple[tuple[float, frozenset[str]], ...]:
    """The words of a question, and how much one counts there. Each key typed asks for all."""
    own = words_of(f"{question.asks} {readers_words(question.asks)}")
    said = ((_IN_ASKS, own), (_IN_TITLE, words_of(about)),
            (_IN_ANSWER, question.words.split()))  # fmt: skip
    return tuple((weight, frozenset(words)) for weight, words in said)


def alike(wanted: str, word: str) -> bool:
    """Whether a typed word stands for another: the beginning of it, or the same but for its end."""
    if len(wanted) == 1 or wanted.isdigit():
        return wanted == word
    if word.startswith(wanted):
        return True
    stem = max(4 if len(wanted) == 5 else 5, len(wanted) - 3)
    return len(wanted) > 4 and word[:stem] == wanted[:stem]
