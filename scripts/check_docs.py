"""Check that what the documents promise exists.

For every Markdown file of the repository:

- relative links and images (Markdown or HTML) lead to a file that git has or is about to get,
- ``#anchors`` lead to a heading (or an HTML ``id`` or ``name``),
- every ``make TARGET`` and ``keras-vae COMMAND --option`` in a shell block or in `code` exists,
- every Python block compiles.

Prints one ``file:line: problem`` for each promise that is not kept, and exits with 1 if there is
any. Run by ``make check``; ``--root DIRECTORY`` checks another repository.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import doctest
import html.parser
import importlib
import itertools
import os
import re
import shlex
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import typer.main
from markdown_it import MarkdownIt
from markdown_it.token import Token

SHELL = {"", "sh", "bash", "shell", "console"}
PYTHON = {"python", "py", "pycon"}
SEPARATORS = {"&&", "||", ";", "|", "&", "(", ")", "<", ">", ">>", "<<"}


@dataclasses.dataclass(frozen=True)
class CodeBlock:
    """A fenced or indented block, or a span of inline code."""

    language: str  # "" if the document does not say
    source: str
    line: int  # of the first line of the source, from 1
    comment: str  # the HTML comment right before the block, such as "no-run"; else ""


@dataclasses.dataclass(frozen=True)
class Document:
    """What a Markdown file says that can be checked; lines count from 1."""

    links: tuple[tuple[int, str], ...]
    anchors: frozenset[str]
    blocks: tuple[CodeBlock, ...]
    spans: tuple[CodeBlock, ...]


@dataclasses.dataclass(frozen=True, order=True)
class Problem:
    """A promise that is not kept."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


class _HTML(html.parser.HTMLParser):
    """Collects link targets and anchors of raw HTML."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name in ("href", "src"):
                self.links.append(value)
            elif value and name in ("id", "name"):
                self.anchors.append(value)


def read_document(text: str) -> Document:
    """Parse Markdown into its links, anchors and code."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    links: list[tuple[int, str]] = []
    anchors: set[str] = set()
    blocks: list[CodeBlock] = []
    spans: list[CodeBlock] = []
    line = 1
    for index, token in enumerate(tokens):
        line = token.map[0] + 1 if token.map else line
        if token.type in ("fence", "code_block"):
            language = token.info.split()[0].lower() if token.info.strip() else ""
            first = line + (token.type == "fence")
            before = tokens[index - 1] if index else None
            comment = re.fullmatch(r"\s*<!--\s*(.*?)\s*-->\s*", _html_source(before), re.DOTALL)
            blocks.append(CodeBlock(language, token.content, first, comment[1] if comment else ""))
        elif token.type == "html_block":
            parsed = _HTML(token.content)
            links += [(line, target) for target in parsed.links]
            anchors.update(parsed.anchors)
        elif token.type == "inline":
            row = line
            for child in token.children or []:
                if child.type in ("softbreak", "hardbreak"):
                    row += 1
                elif child.type == "link_open":
                    links.append((row, str(child.attrGet("href"))))
                elif child.type == "image":
                    links.append((row, str(child.attrGet("src"))))
                elif child.type == "html_inline":
                    parsed = _HTML(child.content)
                    links += [(row, target) for target in parsed.links]
                    anchors.update(parsed.anchors)
                elif child.type == "code_inline":
                    spans.append(CodeBlock("", child.content, row, ""))
            if index and tokens[index - 1].type == "heading_open":
                anchors.add(_heading_anchor(token, anchors))
    return Document(tuple(links), frozenset(anchors), tuple(blocks), tuple(spans))


def _html_source(token: Token | None) -> str:
    return token.content if token and token.type == "html_block" else ""


def _heading_anchor(heading: Token, taken: set[str]) -> str:
    """The anchor GitHub gives a heading: lower case, words joined by '-', a number if taken."""
    text = "".join(
        child.content for child in heading.children or [] if child.type in ("text", "code_inline")
    )
    slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
    number = 0
    anchor = slug
    while anchor in taken:
        number += 1
        anchor = f"{slug}-{number}"
    return anchor


def repository_files(root: Path) -> set[str]:
    """The files git has, or gets with the next `git add --all`: no ignored ones."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {path for path in listed.split("\0") if path and (root / path).exists()}


def check_links(
    path: str, documents: dict[str, Document], files: set[str]
) -> Iterator[tuple[int, str]]:
    """Yield (line, problem) for every local link of the document at `path` that leads nowhere."""
    folders = {str(parent) for file in files for parent in Path(file).parents}
    for line, target in documents[path].links:
        url = urllib.parse.urlsplit(target)
        if url.scheme or url.netloc:
            continue
        place = urllib.parse.unquote(url.path)
        if place.startswith("/"):
            yield line, f"link to {target}: make it relative to this file"
            continue
        goal = os.path.normpath(os.path.join(os.path.dirname(path), place)) if place else path
        if goal not in files and goal not in folders:
            yield line, f"link to {target}: there is no {goal} in the repository"
        elif url.fragment and goal in documents:
            anchor = urllib.parse.unquote(url.fragment)
            if anchor not in documents[goal].anchors:
                yield line, f"link to {target}: {goal} has no anchor #{anchor}"


def check_commands(block: CodeBlock, targets: set[str], program: Any) -> Iterator[tuple[int, str]]:
    """Yield (line, problem) for every `make` or `keras-vae` command that does not exist."""
    for line, (name, *arguments) in _commands(block):
        if os.path.basename(name) == "make":
            for word in arguments:
                if not word.startswith("-") and "=" not in word and word not in targets:
                    yield line, f"`make {word}`: the Makefile has no such target"
        elif os.path.basename(name) == "keras-vae":
            problem = _misuse(program, arguments)
            if problem:
                yield line, problem


def _misuse(program: Any, arguments: list[str]) -> str:
    """What is wrong with calling the command line program with these arguments; "" if nothing."""
    called, command, options = "keras-vae", program, {"--help"}
    for word in itertools.takewhile("--".__ne__, arguments):  # what follows is another program's
        for parameter in command.params:
            options.update(parameter.opts, parameter.secondary_opts)
        subcommands = getattr(command, "commands", {})
        if re.match(r"--?[A-Za-z]", word):
            option = word.split("=")[0]
            if option not in options:
                return f"`{called}` has no option {option}"
        elif subcommands:
            if word not in subcommands:
                return f"`{called}` has no command {word}"
            called, command = f"{called} {word}", subcommands[word]
    return ""


def _commands(block: CodeBlock) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, words) of every simple command in a shell block."""
    source, line = "", block.line
    for number, text in enumerate(block.source.splitlines(), block.line):
        if not source:
            line = number
            if block.language == "console" and not text.startswith("$ "):
                continue  # output
            text = text.removeprefix("$ ")
        if text.endswith("\\"):
            source += text[:-1] + " "
            continue
        lexer = shlex.shlex(source + text, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        source = ""
        try:
            words = list(lexer)
        except ValueError:  # an unpaired quote: prose or output, not a command
            continue
        command: list[str] = []
        for word in [*words, ";"]:
            if word not in SEPARATORS:
                if command or not re.match(r"\w+=", word):  # not VARIABLE=value before a command
                    command.append(word)
            elif command:
                yield line, command
                command = []


def check_python(block: CodeBlock) -> Iterator[tuple[int, str]]:
    """Yield (line, problem) if a Python block, or an example in it, does not compile."""
    try:
        examples = doctest.DocTestParser().get_examples(block.source)
        for example in examples:
            ast.parse(example.source)
        if not examples:
            ast.parse(block.source)
    except (SyntaxError, ValueError) as error:
        offset = (error.lineno or 1) - 1 if isinstance(error, SyntaxError) else 0
        yield block.line + offset, f"the Python block does not compile: {error}"


def make_targets(makefile: Path) -> set[str]:
    """The targets that a Makefile defines."""
    if not makefile.exists():
        return set()
    return set(re.findall(r"^([\w.-]+):(?!=)", makefile.read_text("utf-8"), re.MULTILINE))


def command_line() -> Any:
    """The command of `keras-vae`, with its options and subcommands."""
    cli = importlib.import_module("keras_vae_cli")
    app = next(value for value in vars(cli).values() if isinstance(value, typer.Typer))
    return typer.main.get_command(app)


def check_repository(root: Path, program: Any) -> list[Problem]:
    """Check every Markdown file of a git work tree; returns the problems in order.

    Args:
        root: the work tree.
        program: the command that `keras-vae` runs, as `typer.main.get_command` gives it.
    """
    files = repository_files(root)
    targets = make_targets(root / "Makefile")
    documents = {
        path: read_document((root / path).read_text("utf-8"))
        for path in files
        if path.endswith(".md")
    }
    problems: set[Problem] = set()
    for path, document in documents.items():
        found = [*check_links(path, documents, files)]
        for block in (*document.blocks, *document.spans):
            if block.language in SHELL:
                found += check_commands(block, targets, program)
            elif block.language in PYTHON:
                found += check_python(block)
        problems.update(Problem(path, line, message) for line, message in found)
    return sorted(problems)


def main() -> int:
    """Print the problems; the exit code is 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root
    problems = check_repository(root, command_line())
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print("The documents' links, commands and Python blocks are in order.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
