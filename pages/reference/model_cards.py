"""Model cards: what every shipped network is, how it was made, and how good it is."""

from pathlib import Path

from pages.shared import cards, chapter

chapter.header("Model cards")
chapter.prose(
    "Every network in this app was trained for it, and comes with a card: what it was trained on "
    "and for how long, what was measured on data it had never seen, and what it can't do. A number "
    "without its sample count says little, so each one has its own.\n\n"
    "Beside a Fréchet distance stands that of as many real training digits to the test digits. It "
    "is not 0, since so few pictures don't fix a distribution and the training digits differ a "
    "little from the test digits. And it is no limit: a value below it doesn't mean better than "
    "reality, least of all where the test digits themselves were encoded and decoded.\n\n"
    "Only values of one sample count can be compared, and bounds only between pictures with the "
    "same number of gray levels: of 2 levels a pixel holds at most 1 bit, of 8 levels 3, of 256 "
    "levels 8."
)
found = cards.read_cards(Path("pretrained"))
if not found:
    chapter.prose(
        "No trained network is here yet. Once one lies in `pretrained/`, its card appears."
    )
for card in found:
    cards.draw_card(card)
