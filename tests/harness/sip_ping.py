"""Whether a SIP process is up: it answers OPTIONS."""

import secrets
import socket

ANSWER_WITHIN_S = 0.25


def answers_options(address: tuple[str, int]) -> bool:
    """True when any SIP answer to one OPTIONS over UDP comes within a quarter of a second."""
    return options_status(address) > 0


def options_status(address: tuple[str, int]) -> int:
    """The status of the answer to one OPTIONS over UDP; 0 when none comes within a quarter of a second."""
    host, port = address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.settimeout(ANSWER_WITHIN_S)
        ours.bind(("127.0.0.1", 0))
        ours.connect(address)
        mark = secrets.token_hex(8)
        request = (
            f"OPTIONS sip:{host}:{port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{ours.getsockname()[1]};branch=z9hG4bK{mark}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:harness@127.0.0.1>;tag={mark}\r\nTo: <sip:{host}:{port}>\r\n"
            f"Call-ID: {mark}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
        try:
            ours.send(request.encode())
            answer = ours.recv(4096)
        except OSError:  # nobody there yet, or not answering yet
            return 0
        return int(answer.split(b" ", 2)[1]) if answer.startswith(b"SIP/2.0 ") else 0
