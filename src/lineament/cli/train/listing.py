"""`lineament train list`: the recipes that come with the package."""

import json

import click


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, with every setting.")
def list_command(as_json: bool) -> None:
    """The recipes that come with lineament, and what is published for them."""
    from lineament.train.resolve import OWN, own_recipes

    made = {OWN + name: make() for name, make in own_recipes().items()}
    if as_json:
        click.echo(json.dumps({name: recipe.to_dict() for name, recipe in made.items()}, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    # A name that is cut short cannot be copied.
    table.add_column("recipe", no_wrap=True, min_width=max(map(len, made)))
    table.add_column("what it is")
    table.add_column("published")
    for name, recipe in made.items():
        figures = "; ".join(f"{k} {v}" for k, v in recipe.expected.items())
        table.add_row(name, recipe.summary, figures)
    Console().print(table)
