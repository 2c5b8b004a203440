"""Model cards: what every shipped network is, how it was made, and how good it is."""

from pathlib import Path

import streamlit as st

from pages.shared import cards, chapter
from pages.shared.card_list import overview, place

chapter.header("Model cards")
found = sorted(cards.read_cards(Path("pretrained")), key=lambda card: place(card.name))
if found:
    chapter.prose(
        "Every network in this app was trained for it, and has a card below. Those that draw "
        "digits are compared without guidance."
    )
    st.html(overview([(card.name, card.fields) for card in found]))
    chapter.prose(
        chapter.fold(
            "What do these numbers mean, and which can be compared?",
            "“Recognised” is the share that the judge, a classifier, reads as the digit that was "
            "asked for; the Fréchet distance is one in that classifier’s features. "
            "Beside it stands that of as many real training digits to the test digits. It "
            "is not 0, since so few pictures don't fix a distribution and the training digits "
            "differ a little from the test digits. And it is no limit: a value below it doesn't "
            "mean better than reality, least of all where the test digits themselves were encoded "
            "and decoded.\n\n"
            "Only values of one sample count can be compared, and bounds only between pictures "
            "with the same number of gray levels: of 2 levels a pixel holds at most 1 bit, of 8 "
            "levels 3, of 256 levels 8.",
        )
    )
else:
    chapter.prose(
        "No trained network is here yet. Once one lies in `pretrained/`, its card appears."
    )
for card in found:
    cards.draw_card(card)
