"""Every knob of Temper: `TEMPER_` in the environment, or a `.env` file in the working directory."""

from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings with their units, and the reason for each default."""

    model_config = SettingsConfigDict(
        env_prefix="TEMPER_", env_file=".env", extra="ignore", use_attribute_docstrings=True
    )

    # Where things are
    home: Path = Path.home() / ".temper"
    """Folder of models, runs, the embedded database and the embedded queue. Hosts that share work share it."""
    database_url: str = ""
    """SQLAlchemy URL of Postgres (`postgresql+psycopg://…`). Empty: SQLite in `home`."""
    redis_url: str = ""
    """URL of a Redis server. Empty: `temper up` starts one of its own on a unix socket in `home`."""

    # The web server
    host: str = "127.0.0.1"
    """Address to listen on. Another machine reaches Temper only when this is changed on purpose."""
    port: int = Field(default=8321, ge=0, le=65535)
    """Port to listen on; 0 lets the system choose a free one."""
    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    """Names the server answers to; a request for another name is refused, which stops DNS rebinding."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks of proxies, such as `["10.2.0.1/32"]`, whose word on where a request comes from counts: the headers
    `X-Forwarded-For` and `X-Forwarded-Proto`. No client may come from them. None: whoever is believed could write
    itself an address each time, and try passwords without end."""
    secure_cookies: bool = False
    """Set it behind TLS: the session cookie is then never sent in the clear."""
    assets: Literal["cdn", "local"] = "cdn"
    """`cdn`: htmx from its CDN by hash, and from this server if that fails. `local`: never ask the CDN."""
    cdn_timeout_seconds: float = Field(default=2.0, gt=0)
    """A page waits so long for the CDN before it takes the copy of this server."""

    # Login
    session_days: int = Field(default=14, ge=1)
    """A login lasts so long after its last use."""
    login_link_minutes: int = Field(default=15, ge=1)
    """A one-time login link works so long: enough to copy it from a terminal."""
    invitation_hours: int = Field(default=24, ge=1)
    """A one-time link that an admin makes for somebody else works so long: enough to send it and to come in."""

    # Login by an OpenID provider
    oidc_issuer: str = ""
    """Address of the provider, as it calls itself, such as `https://id.example.org/realms/lab`. Empty: no such login.
    The address to register there is `/login/oidc/callback` of this server."""
    oidc_client_id: str = ""
    """What the provider calls this server."""
    oidc_client_secret: SecretStr | None = None
    """What this server proves that with. It also signs the cookie of a login that has begun."""
    oidc_scopes: str = "openid profile email"
    """What the provider is asked to tell."""
    oidc_name_claim: str = "email"
    """The claim that holds a user's name in Temper, as an admin added it. `email` must be marked as verified; of
    another one the provider must see to it that nobody can choose somebody else's."""
    oidc_role_claim: str = ""
    """The claim that says roles, such as `groups`. Empty: nobody gets in whom no admin has added."""
    oidc_roles: dict[str, Literal["viewer", "runner", "admin"]] = {}
    """Which value of that claim makes which role: `{"lab": "runner", "lab-admins": "admin"}`. The highest counts, at
    every login; who has none of them gets in only if an admin added them."""

    # What one may ask for at a time
    requests_per_user: int = Field(default=100, ge=1)
    """Requests of one user that are answered at the same time; the next is answered 429. A browser opens six."""
    streams_per_user: int = Field(default=100, ge=1)
    """Live pages and streams of events that one user may have open; the next is answered 429. A page takes one."""
    streams_in_all: int = Field(default=500, ge=1)
    """The same of all users together: each is one connection, and a look at the database whenever a run goes on."""
    queued_runs: int = Field(default=1_000, ge=1)
    """Runs that may wait at the same time, whoever started them."""

    # Work
    worker_slots: int = Field(default=1, ge=1)
    """Runs that train at once on this host. A GPU host sets the number of its GPUs."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """What trains. `auto`: CUDA where a driver answers, else the CPU."""
    engine: str = "worker.engine.launch"
    """Module that trains, converts and merges: run as `python -m` in a child process."""
    confine: Literal["auto", "required", "off"] = "auto"
    """What a trainer may reach. `auto`: its own files and nothing else, as far as this system can hold it to that.
    `required`: no run starts where it cannot. `off`: everything that its user may."""
    lease_seconds: float = Field(default=15.0, gt=0)
    """A claim that its worker has not renewed for so long is lost. With noticing, waiting and claiming anew, a run
    whose worker died goes on within 30 s."""
    leave_seconds: float = Field(default=30.0, ge=0)
    """A worker that is told to end gives its trainers so long to save a checkpoint before it ends them."""
    stall_seconds: float = Field(default=120.0, gt=0)
    """A trainer that tells nothing for so long, and for 20 times its own step, is stalled. Twice that ends it."""
    loading_seconds: float = Field(default=900.0, gt=0)
    """The same before the first iteration: large models load for minutes, from slow disks for many."""
    stop_grace_seconds: float = Field(default=5.0, ge=0)
    """Time between asking a trainer to end and ending it."""
    min_free_bytes: int = Field(default=1 << 30, ge=0)
    """A run is not started with less free disk than this beside its checkpoint plan."""

    # Files of rows
    largest_upload_bytes: int = Field(default=4 << 30, ge=1)
    """A file of rows may be so large, as it is uploaded and as it is stored: some ten million short rows."""
    intake_memory_bytes: int = Field(default=1 << 30, ge=128 << 20)
    """The process that reads an upload gets no more memory: one slice of a Parquet file fits, a bomb does not."""
    findings_memory_bytes: int = Field(default=4 << 30, ge=256 << 20)
    """The process that searches rows for what is wrong gets no more memory: five million short rows fit."""
    intake_seconds: int = Field(default=600, ge=1)
    """Reading an upload may take so long; 1 GB of JSON Lines took 86 s, sending it included, on two busy cores."""

    # Webhooks
    webhook_allow_private: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks that webhooks may reach though they are not public, such as `["10.2.0.0/16"]`. None: a server that
    can be told what to ask inside of a network is a way into it."""

    # Imports
    import_roots: tuple[Path, ...] = ()
    """Folders that an admin may import xtuner's runs from over the API. Empty: by the command on this machine alone."""

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, networks: tuple[IPv4Network | IPv6Network, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
        """Refuse to believe everybody."""
        if any(network.prefixlen == 0 for network in networks):
            raise ValueError("a network of all addresses has every client in it; name the proxy's own")
        return networks

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        """Refuse what no link can begin with."""
        parts = urlsplit(url)
        if url and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment):
            raise ValueError("it must be an address such as https://temper.example")
        return url

    @model_validator(mode="after")
    def _check_provider(self) -> Self:
        """Refuse half a provider: a login that cannot work must not look as if it could."""
        if not self.oidc_issuer:
            return self
        if not (self.oidc_client_id and self.oidc_client_secret and self.oidc_client_secret.get_secret_value()):
            raise ValueError("TEMPER_OIDC_ISSUER takes TEMPER_OIDC_CLIENT_ID and TEMPER_OIDC_CLIENT_SECRET too")
        if "openid" not in self.oidc_scopes.split():
            raise ValueError("TEMPER_OIDC_SCOPES must have openid among them")
        if not is_safe_address(self.oidc_issuer):
            raise ValueError("TEMPER_OIDC_ISSUER must begin with https://, or lead to this machine")
        return self

    @property
    def database(self) -> str:
        """SQLAlchemy URL that is in force."""
        return self.database_url or f"sqlite:///{self.home / 'temper.db'}"

    @property
    def broker(self) -> str:
        """Celery broker URL that is in force."""
        return self.redis_url or f"redis+socket://{self.home / 'redis.sock'}"

    @property
    def redis(self) -> str:
        """The same server, as redis-py spells it."""
        return self.redis_url or f"unix://{self.home / 'redis.sock'}"

    @property
    def models_folder(self) -> Path:
        """Where registered models are linked or kept."""
        return self.home / "models"

    @property
    def runs_folder(self) -> Path:
        """Where runs keep their files."""
        return self.home / "runs"

    def run_folder(self, run_id: int) -> Path:
        """Where one run keeps its files."""
        return self.runs_folder / str(run_id)

    @property
    def datasets_folder(self) -> Path:
        """Where the rows of datasets are, each file named by its hash."""
        return self.home / "datasets"

    @property
    def mixes_folder(self) -> Path:
        """Where the rows that runs were trained on are kept, each file named by its hash."""
        return self.home / "mixes"

    @property
    def tokens_folder(self) -> Path:
        """Where counted tokens of saved sets are remembered; may be deleted at any time."""
        return self.home / "cache" / "tokens"

    @property
    def locks_folder(self) -> Path:
        """Where devices are locked; local to a host."""
        return self.home / "locks"

    url: str = ""
    """Address of the server, such as `https://temper.example`: what the `temper` command talks to and, on the server
    itself, where its links to runs, logins and invitations lead. Empty: the one that `temper up` left in `home`; an
    invitation leads to where the admin who makes it came by."""
    token: SecretStr | None = None
    """API token of the `temper` command. Empty: the one that `temper up` left in `home`, readable by its owner."""


def is_safe_address(address: str) -> bool:
    """Whether what is sent to an address can be read by nobody in between: TLS, or this machine."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    if parts.hostname is None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@cache
def settings() -> Settings:
    """Return the settings of this process, read once."""
    return Settings()
