"""Cards as the trainers write them and as the front-end reads them, which imports nothing of the models."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from model.weights.card import Card, Control, MorphableCard, RendererCard
from model.weights.files import released_weights
from service import catalogue

CARDS: dict[str, type[Card]] = {"renderer": RendererCard, "morphable": MorphableCard}
RELEASED = sorted(released_weights().glob("*.json"))


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_a_released_card_comes_through_whole(path: Path) -> None:
    written = json.loads(path.read_text(encoding="utf-8"))
    card = CARDS.get(written["kind"], Card).model_validate(written)
    assert json.loads(json.dumps(card.content())) == written
    assert card.name == path.stem


def test_a_card_says_no_more_than_is_known() -> None:
    card = Card(kind="skinning", motion_space="open478")
    assert list(card.content()) == ["licence", "kind", "version", "motion_space"]


def test_the_front_end_reads_what_cards_say() -> None:
    assert set(catalogue.FACTS) <= set(Card.model_fields)
    assert set(catalogue.Card.model_fields) - {"facts", "weights"} <= set(MorphableCard.model_fields)
    assert set(catalogue.Control.model_fields) == set(Control.model_fields)


def test_a_card_needs_no_torch() -> None:
    script = "import sys, model.weights.card\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
