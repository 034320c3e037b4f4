"""Carrying a collection elsewhere: out into one file, and from it into a new collection of any database.

The file holds subjects, metadata, consent, retention, samples with their crops, probes that a reviewer
rejected and entries of a watchlist. It does not hold alerts, the audit log or any key: row numbers are given
anew, keys are made anew, templates are turned back on the way out and turned anew on the way in.

A digest of a picture depends on the collection's key. Between two collections without a key it stays;
otherwise it is made anew from the old one, and the same photograph is no longer known to be enrolled by its
bytes (the review still finds it by its face).
"""

from lineament.gallery.transfer_file import read_head
from lineament.gallery.transfer_in import Imported, import_collection
from lineament.gallery.transfer_out import Exported, export_collection

__all__ = ["Exported", "Imported", "export_collection", "import_collection", "read_head"]
