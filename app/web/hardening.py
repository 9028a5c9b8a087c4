"""What a browser may do with an answer: the headers that every one carries, whatever made it."""

from starlette.datastructures import MutableHeaders

from app.config import settings
from app.web.assets import CDN_ORIGIN

HSTS_SECONDS = 365 * 24 * 3600


def content_security_policy() -> str:
    """Return the policy: our own files, the CDN's scripts where it is used, nothing inline, no frame."""
    scripts = f"'self' {CDN_ORIGIN}" if settings().assets == "cdn" else "'self'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self'; font-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def harden(headers: MutableHeaders) -> None:
    """Add the headers that every answer carries; what a route set itself stays."""
    headers.setdefault("Content-Security-Policy", content_security_policy())
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("Referrer-Policy", "same-origin")  # with no-referrer, forms would send `Origin: null`
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
    if settings().secure_cookies:  # behind TLS: never again without it
        headers.setdefault("Strict-Transport-Security", f"max-age={HSTS_SECONDS}")
    headers.setdefault("Cache-Control", "private, no-cache")  # what one reader may see is nobody else's
