"""A module whose import never ends, as a spawner that is not warm yet."""

import threading

threading.Event().wait()
