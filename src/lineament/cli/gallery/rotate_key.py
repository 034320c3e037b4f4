"""`lineament gallery rotate-key`: another master key, while everything goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from lineament.cli.gallery.options import Place, place_options
from lineament.cli.gallery.showing import added, count
from lineament.core.errors import InvalidArgument, KeyUnavailable

if TYPE_CHECKING:
    from lineament.gallery.truth import Truth


@click.command("rotate-key")
@click.option(
    "--retire",
    is_flag=True,
    help="At the end, destroy older keys in the key file. Not where other databases use the file, too.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@place_options()
def rotate_key_command(retire: bool, as_json: bool, place: Place) -> int:
    """Bring all keys of the database under a new master key; templates stay as they are sealed.

    A key file (--key file:PATH) gets a fresh key first, unless a change that was begun is not at its end.
    Keys of the environment are changed by you beforehand: the new one into the variable, the old one into
    NAME_PREVIOUS. Searches and enrolments go on meanwhile. Stopped, the same command goes on.

    Backups made before open with the old key: destroy it (--retire) to make what was erased since unreadable
    in them.

    \b
    Exit code 0: all is under the new key. 3: --retire without a key file. 11: a key
    is missing, or the gallery cannot be used.
    """
    if place.key is None:
        raise KeyUnavailable("say which master key is to be changed, with --key file:PATH or --key env:NAME")
    with place.database() as (truth, audit):
        from lineament.gallery.keys import FileKeys, open_keys
        from lineament.gallery.rekey import rewrap_all

        keys = open_keys(place.key)
        if retire and not isinstance(keys, FileKeys):
            raise InvalidArgument(
                "--retire is for a key file: take an old key out of the environment yourself"
            )
        if isinstance(keys, FileKeys) and not _begun(truth, keys):
            keys.rotate()
        with added("keys") as progress:
            done = rewrap_all(truth, audit, place.acting(), keys, progress)
        retired = _retire(truth, keys) if retire else []
    if as_json:
        click.echo(json.dumps({"keys": done.keys, "key": done.key_id, "retired": retired}))
        return 0
    click.echo(f"{count(done.keys, 'key')} written anew, all under the master key {done.key_id} now")
    for old in retired:
        click.echo(f"Destroyed the master key {old}")
    return 0


def _begun(truth: Truth, keys: Any) -> bool:
    """Whether something still lies under an older key than the present one."""
    from lineament.gallery.rekey import in_use

    return bool(in_use(truth, keys) - {keys.key_id})


def _retire(truth: Truth, keys: Any) -> list[str]:
    from lineament.gallery.rekey import in_use

    old = [key for key in keys.key_ids if key not in in_use(truth, keys)]
    for key in old:
        keys.retire(key)
    return old
