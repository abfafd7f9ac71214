"""A real IMS core on loopback: Kamailio as S-CSCF, an HSS of ours behind it, the push story through both."""
