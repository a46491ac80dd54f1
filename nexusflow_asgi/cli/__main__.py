import sys

from nexusflow_asgi.cli import main

sys.exit(main())
