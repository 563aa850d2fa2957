"""What a name of a factor or view is made of: it becomes a column, a file extension and a word of a template."""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""Names of factors and views."""

MAX_NAME = 100
"""Characters of such a name."""
