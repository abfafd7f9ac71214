"""The table of the configuration file about documents for devices, see sections.py."""

from __future__ import annotations

from typing import Annotated, Final

from omapush.config.files import contents
from omapush.config.keys import restart
from omapush.config.sections import Section
from omapush.errors import BadConfiguration

_KEY: Final = "device_document.key_file"
_SHORTEST_KEY: Final = 16


class DeviceDocument(Section, frozen=True):
    """What devices are told about who may push to them: a Push Management Object for each user."""

    key_file: Annotated[str, restart("api")] = ""
    """
    File whose first line, of at least 16 characters, is the key for the links that devices fetch their
    document by. It has to be the same on all nodes. Empty: there are no links, and documents are made
    only by `omapush policy device-document`.
    """
    url: str = ""
    """
    Beginning of the links, such as `https://push.home1.example/device-documents/`. Empty: made from
    `api.listen`.
    """

    def key(self) -> bytes:
        """
        Return the key of the links, empty without `key_file`.

        Raises:
            BadConfiguration: the file cannot be read, or its first line is too short.
        """
        if not self.key_file:
            return b""
        key = contents(_KEY, self.key_file).split(b"\n", 1)[0].strip()
        if len(key) < _SHORTEST_KEY:
            raise BadConfiguration(_KEY, f"its first line needs {_SHORTEST_KEY} characters")
        return key
