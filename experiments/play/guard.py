"""Who may talk to the server: pages of this machine that it served itself.

The server listens on loopback, but any page of the web, open in the same browser, can send requests
there; and a name that its owner points to 127.0.0.1 makes such a page look like ours (DNS rebinding).
Browsers say which page asks (Origin) and which name it asked for (Host), and cannot be made to lie.
"""

from collections.abc import Mapping

NAMES = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def refusal(headers: Mapping[str, str], port: int) -> str:
    """Why a request is not answered, "" if it is.

    Who sends no Origin is no page, or a page that asks for its own address to be shown.
    """
    hosts = [f"{name}:{port}" for name in NAMES]
    host = headers.get("Host", "").lower()
    if host not in hosts and not (port == 80 and host in NAMES):
        return (
            f"this server answers to {', '.join(hosts)} alone, and was asked for {host[:100]!r}; open "
            f"http://localhost:{port}, and from elsewhere through a tunnel "
            f"(ssh -L {port}:localhost:{port})"
        )
    origin = headers.get("Origin")
    if origin is not None and origin.lower() != f"http://{host}":
        return f"pages of {origin[:100]!r} are not answered; open http://localhost:{port}"
    return ""
