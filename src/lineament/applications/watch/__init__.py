"""Watching a video, a camera or a stream for the subjects of watchlists: one durable alert for each event."""
