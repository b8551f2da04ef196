"""Print the tables of the documentation that the long campaigns make."""


def show(capsys, title, columns, rows):
    """Print a Markdown table, also where pytest captures what tests print."""
    texts = [columns, ["---"] * len(columns), *([str(cell) for cell in row] for row in rows)]
    with capsys.disabled():
        print(f"\n\n{title}\n")
        for row in texts:
            print(f"| {' | '.join(row)} |")
