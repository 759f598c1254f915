"""Put what `pirenderer benchmark --out FOLDER` wrote into docs/performance.md and its plot into docs/images."""

import sys
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
START, END = "<!-- figures -->", "<!-- end of figures -->"


def main(folders: list[Path], page: Path = DOCS / "performance.md") -> None:
    """Replace what stands between the markers by the tables of all folders; the plot is that of the first."""
    before, _, rest = page.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    tables = "\n".join((folder / "benchmark.md").read_text(encoding="utf-8") for folder in folders)
    page.write_text(f"{before}{START}\n\n{tables}\n{END}{after}", encoding="utf-8")
    plot = (folders[0] / "benchmark.svg").read_text(encoding="utf-8")
    (page.parent / "images" / "performance.svg").write_text(plot, encoding="utf-8")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
