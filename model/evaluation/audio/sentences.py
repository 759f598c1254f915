"""What is said in clips whose file names spell it: the sentences of GRID (Cooke et al. 2006)."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from model.data.corpus import read_corpus

COMMANDS = {"b": "bin", "l": "lay", "p": "place", "s": "set"}
COLOURS = {"b": "blue", "g": "green", "r": "red", "w": "white"}
PREPOSITIONS = {"a": "at", "b": "by", "i": "in", "w": "with"}
# eSpeak NG takes the letter a for the article; what it says to "eh" is the letter's name
LETTERS = {letter: "eh" if letter == "a" else letter for letter in "abcdefghijklmnopqrstuvxyz"}
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGITS = dict(zip("z123456789", NUMBERS, strict=True))
ADVERBS = {"a": "again", "n": "now", "p": "please", "s": "soon"}
WORDS = (COMMANDS, COLOURS, PREPOSITIONS, LETTERS, DIGITS, ADVERBS)
SPELLED = re.compile("(?:.*_)?" + "".join(f"([{''.join(words)}])" for words in WORDS))


def grid_sentence(path: str) -> str | None:
    """The sentence that the name of a GRID file spells, as eSpeak NG has to read it; None: the name is no such one.

    bbaf2n.mpg is "bin blue at f two now"; anything may stand before it with an underscore.
    """
    letters = SPELLED.fullmatch(PurePosixPath(path).stem)
    return letters and " ".join(words[letter] for words, letter in zip(WORDS, letters.groups(), strict=True))


def spelled_sentences(folders: Sequence[Path], split: str) -> dict[str, str]:
    """The sentences of a split's clips by their ids, of those whose path spells one."""
    items = [item for folder in folders for item in read_corpus(folder, split=split, kind="clip")]
    return {item.id: sentence for item in items if (sentence := grid_sentence(item.path))}
