"""omapush: an IMS application server for OMA Push using SIP."""
