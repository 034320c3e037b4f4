"""`python -m lineament`: the command without its script."""

from lineament.cli.main import main

raise SystemExit(main())
