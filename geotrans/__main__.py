"""`python -m geotrans` is the `geotrans` command."""

from geotrans.cli import main

main()
