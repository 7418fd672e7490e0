"""A run's log as a picture: training and validation loss by step, an SVG without dependencies."""

WIDTH, HEIGHT, MARGIN = 640, 360, 48
COLOURS = {"train_loss": "#7a7a7a", "valid_loss": "#c0392b"}


def write_curve(rows, svg_path):
    """rows: of log.jsonl."""
    series = {name: [(row["step"], row[name]) for row in rows if row.get(name) is not None]
              for name in COLOURS}
    points = [point for line in series.values() for point in line]
    if not points:
        return
    last = max(step for step, _ in points)
    low, high = min(loss for _, loss in points), max(loss for _, loss in points)
    spread = (high - low) or 1.0

    def place(step, loss):
        x = MARGIN + (WIDTH - 2 * MARGIN) * step / max(1, last)
        return f"{x:.1f},{MARGIN + (HEIGHT - 2 * MARGIN) * (high - loss) / spread:.1f}"

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
             'font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for i, (name, line) in enumerate(series.items()):
        corners = [place(*point) for point in line]
        parts.append(f'<polyline fill="none" stroke="{COLOURS[name]}" '
                     f'points="{" ".join(corners)}"/>')
        parts += ['<circle cx="{}" cy="{}" r="2" fill="{}"/>'.format(
            *corner.split(","), COLOURS[name]) for corner in corners]
        parts.append(f'<text x="{WIDTH - 140}" y="{20 + 16 * i}" fill="{COLOURS[name]}">'
                     f'{name.replace("_", " ")}</text>')
    bottom = HEIGHT - MARGIN
    parts += [f'<text x="6" y="{MARGIN}">{high:.2f}</text>',
              f'<text x="6" y="{bottom}">{low:.2f}</text>',
              f'<text x="{WIDTH - 2 * MARGIN}" y="{bottom + 20}">step {last}</text>', "</svg>"]
    svg_path.write_text("\n".join(parts) + "\n", encoding="utf-8")
