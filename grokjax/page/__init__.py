"""The page of a sweep: one web page that opens with no server and no network.

    grokjax.report(result, "page.html")

The charts are Vega-Lite's, declared with altair, and their JavaScript is written into the page.
"""

from grokjax.page.write import report

__all__ = ["report"]


def __dir__() -> list[str]:
    return __all__
