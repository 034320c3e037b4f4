"""The time of day, as text that sorts: ISO 8601 in UTC, to the microsecond."""

import datetime


def now() -> str:
    """The present moment."""
    return iso(datetime.datetime.now(datetime.UTC))


def iso(moment: datetime.datetime) -> str:
    """A moment with a time zone as text of constant length."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
