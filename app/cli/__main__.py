"""`python -m app.cli` is the `temper` command."""

from app.cli import main

main()
