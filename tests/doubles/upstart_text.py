"""The words of upstart's job files: quotes, escapes, comments, continued lines and blocks."""

from __future__ import annotations

import re

_QUOTED = r"""(?P<quoted>"(?:\\[\s\S]|[^"\\])*"|'(?:\\[\s\S]|[^'\\])*')"""
_PIECE = re.compile(_QUOTED + r"""|\\[\s\S]|[^\s#"'\\]+""")
_PIECE_IN_PARENS = re.compile(_QUOTED + r"""|\\[\s\S]|[^\s#"'\\()]+""")
_ESCAPE = re.compile(r"\\([^\n]|(?=\n))\n?")


class Mistake(ValueError):
    """What is wrong with a job file, with its line."""


class Text:
    """Reads words, as far as the line goes."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.line = text, 0, 1

    def fail(self, what: str) -> Mistake:
        return Mistake(f"line {self.line}: {what}")

    def skip(self, newlines: bool) -> bool:
        """Blanks, comments and escaped newlines; whether something is left (on the line)."""
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "\n":
                if not newlines:
                    return False
                self.line += 1
                self.at += 1
            elif char in " \t":
                self.at += 1
            elif char == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self.text.startswith("\\\n", self.at):
                self.line += 1
                self.at += 2
            else:
                return True
        return False

    def word(self, *, parens: bool = False) -> str:
        """The next word, without its quotes; with `parens`, a parenthesis is a word by itself."""
        if parens and self.text[self.at] in "()":
            self.at += 1
            return self.text[self.at - 1]
        piece = _PIECE_IN_PARENS if parens else _PIECE
        found = []
        while match := piece.match(self.text, self.at):
            found.append(_ESCAPE.sub(r"\1", match[0][1:-1] if match["quoted"] else match[0]))
            self.at = match.end()
            self.line += match[0].count("\n")
        if self.text[self.at : self.at + 1] in ('"', "'"):
            raise self.fail("a quote is not closed")
        return "".join(found)

    def arguments(self) -> list[str]:
        """The words that are left on the line."""
        found = []
        while self.skip(newlines=False):
            found.append(self.word())
        return found

    def block(self, stanza: str) -> str:
        """The lines up to `end script`."""
        if self.skip(newlines=False):
            raise self.fail(f"{stanza} takes nothing on its line")
        lines: list[str] = []
        rest = self.text[self.at + 1 :].split("\n")
        for line in rest:
            self.line += 1
            self.at += len(line) + 1
            if line.split() == ["end", "script"]:
                return "".join(f"{each}\n" for each in lines)
            lines.append(line)
        raise self.fail(f"{stanza} is not ended by `end script`")
