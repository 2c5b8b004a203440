"""Draw all pictures anew: `python -m tools.thumbnails`."""

from tools.thumbnails import FOLDER, THUMBNAILS

FOLDER.mkdir(exist_ok=True)
for name, draw in THUMBNAILS.items():
    text = draw()
    (FOLDER / f"{name}.svg").write_text(text, encoding="utf-8")
    print(f"{name}: {len(text)} bytes")
