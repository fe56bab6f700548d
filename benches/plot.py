"""Curves on two logarithmic axes, as SVG. Text and grid take colours that can be read on white and on
black; knows nothing of what is drawn."""

import html
import math

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 40, 50, 55
# These differ also for those who see few colours, and in brightness; the dots differ in form.
COLOURS = ["#2f81f7", "#d9730d", "#2ea043"]
INK = "#7d8590"


class Curve:
    """Points in the order of their first coordinate."""

    def __init__(self, name):
        self.name, self.points = name, []

    def add(self, x, y):
        self.points.append((x, y))


class Axis:
    """From values to places, between the powers of ten around all values."""

    def __init__(self, values, start, end):
        logs = [math.log10(it) for it in values]
        self.low, self.high = math.floor(min(logs)), math.ceil(max(logs))
        self.high = max(self.high, self.low + 1)
        self.start, self.end = start, end

    def place(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self):
        return [10.0**it for it in range(self.low, self.high + 1)]


def svg(title, x_name, y_name, curves):
    points = [point for curve in curves for point in curve.points]
    x = Axis([it for it, _ in points], LEFT, WIDTH - RIGHT)
    y = Axis([it for _, it in points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}" role="img">',
        f"<title>{html.escape(title)}</title>",
        text(WIDTH / 2, HEIGHT - 12, x_name),
        text(18, (TOP + HEIGHT - BOTTOM) / 2, y_name, turn=True),
    ]
    for tick in x.ticks():
        at = x.place(tick)
        parts += [line(at, TOP, at, HEIGHT - BOTTOM), text(at, HEIGHT - BOTTOM + 20, label(tick))]
    for tick in y.ticks():
        at = y.place(tick)
        parts += [line(LEFT, at, WIDTH - RIGHT, at), text(LEFT - 8, at + 4, label(tick), "end")]
    for index, curve in enumerate(curves):
        parts += drawn(curve, index, x, y)
    return "\n".join([*parts, "</svg>"]) + "\n"


def drawn(curve, index, x, y):
    """The curve, its dots, and its name in the colour that it has."""
    colour = COLOURS[index % len(COLOURS)]
    places = [(x.place(a), y.place(b)) for a, b in curve.points]
    path = " ".join(f"{a},{b}" for a, b in places)
    legend = LEFT + index * 210
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *(dot(a, b, index, colour) for a, b in [*places, (legend + 6, 24)]),
        text(legend + 18, 28, curve.name, "start"),
    ]


def dot(x, y, index, colour):
    corners = [[(-4, -4), (4, -4), (4, 4), (-4, 4)], [(0, -5), (5, 4), (-5, 4)]]
    if index == 0:
        return f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>'
    points = " ".join(f"{x + a:g},{y + b:g}" for a, b in corners[index % 2])
    return f'<polygon points="{points}" fill="{colour}"/>'


def line(x1, y1, x2, y2):
    return f'<path d="M{x1} {y1}L{x2} {y2}" stroke="{INK}" stroke-opacity="0.3"/>'


def text(x, y, words, anchor="middle", turn=False):
    how = f' transform="rotate(-90 {x} {y})"' if turn else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{how}>{html.escape(words)}</text>'


def label(value):
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
