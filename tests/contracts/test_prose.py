"""The rule for prose: a sentence begins with its noun, is short, and leans on few pronouns.

The allowances are what is left of older prose. Each must be lowered as soon as the text is better than the allowance.
"""

import ast
import re
import subprocess
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PRODUCT = ("models", "worker", "producer", "migrations")
_PAGES = ("README.md", "ARCHITECTURE.md", "GLOSSARY.md", "tests/README.md", "tests/examples/README.md")
_WITHOUT_A_NOUN = re.compile(r"(What|Whatever|Who|Whoever|Where|Those)\b")
_MOST_WORDS = 20
_LONG = {"models": 4, "pages": 15, "producer": 42, "worker": 18}  # sentences of more words than that
_OFTEN = {"what": 85, "where": 61, "it": 206}  # occurrences


def _texts() -> Iterator[tuple[str, str]]:
    """Yield each docstring, comment and page, with the path of its file."""
    listed = subprocess.check_output(["git", "ls-files", *_PRODUCT, *_PAGES], cwd=_ROOT, text=True).splitlines()
    for name in listed:
        if name.endswith(".md"):
            yield name, (_ROOT / name).read_text(encoding="utf-8")
        elif name.endswith(".py"):
            yield from ((name, text) for text in _prose_of(_ROOT / name))


def _prose_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.string.lstrip("# ")


def _sentences(text: str) -> Iterator[str]:
    r"""Split a text into sentences, without code, tables and headings.

    >>> list(_sentences("# Title\n\nOne `a.b` here. Another one\nends.\n\n    >>> not(this)"))
    ['One `a.b` here.', 'Another one ends.']
    """
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    text = re.sub(r"^\s*(>>>|\.\.\.|\||#).*$", "", text, flags=re.MULTILINE)
    for paragraph in re.split(r"\n\s*\n|\n\s*(?:[-*]|\d+\.) ", text):
        sentences = re.split(r"(?:(?<=[.!?:])|(?<=[.!?:]\*\*))\s+(?=[A-Z0-9`*])", " ".join(paragraph.split()))
        yield from (sentence.lstrip("*- ") for sentence in sentences if sentence)


def test_a_page_is_split_into_sentences() -> None:
    assert [*_sentences("# Title\n\nOne `a.b` here. Another one\nends.\n\n    >>> no(t)\n\n| a |\n")] == [
        "One `a.b` here.",
        "Another one ends.",
    ]


def test_no_sentence_begins_without_its_noun() -> None:
    found = [f"{name}: {each}" for name, text in _texts() for each in _sentences(text) if _WITHOUT_A_NOUN.match(each)]
    assert found == []


def test_long_sentences_become_fewer() -> None:
    counts = Counter(
        name.split("/")[0] if name.startswith(_PRODUCT) else "pages"
        for name, text in _texts()
        for each in _sentences(text)
        if len(each.split()) > _MOST_WORDS
    )
    assert dict(counts) == _LONG


def test_words_that_hide_the_noun_become_fewer() -> None:
    words = Counter(re.findall(r"[a-z]+", " ".join(text for _, text in _texts()).lower()))
    assert {word: words[word] for word in _OFTEN} == _OFTEN
