"""The script for web pages, in a real Chromium, on pages of another origin than the collector's."""

import pytest

# All in the session's event loop: a browser cannot change loops.
IN_CHROMIUM = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
