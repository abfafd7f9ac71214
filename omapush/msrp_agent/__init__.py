"""The media worker: carries the content of sessions to devices over MSRP (RFC 4975)."""
