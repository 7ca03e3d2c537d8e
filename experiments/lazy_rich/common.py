"""What these experiments share: a number in a table."""


def number(x: float) -> str:
    """Three digits that count, and no more than four places."""
    return f"{x:,.0f}" if abs(x) >= 100 else f"{round(x, 4) + 0.0:.3g}"
