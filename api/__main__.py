"""``python -m api`` is ``livetill``."""

from api.cli import main

raise SystemExit(main())
