"""Score mathematics: pure functions of arrays. Who is compared with whom is decided elsewhere."""
