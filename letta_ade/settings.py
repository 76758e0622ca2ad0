"""All settings; the environment is read only here. `.env.example` lists every variable with a sentence."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import django_stubs_ext
from django.core.exceptions import ImproperlyConfigured

from letta_ade.core.addresses import AllowList
from letta_ade.core.data_folder import default_data_dir, make_data_dir
from letta_ade.llm.environment import PROVIDER_VARIABLES, openai_api

django_stubs_ext.monkeypatch()


def env(name: str, default: str = "") -> str:
    """A text; `NAME_FILE` names a file that holds it instead (for container secrets)."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text().strip()
    return os.environ.get(name, default).strip()


def env_flag(name: str, default: bool = False) -> bool:
    """A yes or no."""
    match env(name).lower():
        case "":
            return default
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
        case other:
            raise ImproperlyConfigured(f"{name} must be 1 or 0, not {other!r}.")


def env_int(name: str, default: int, *, least: int = 0, most: int = 2**31 - 1) -> int:
    """A whole number within bounds."""
    text = env(name)
    try:
        number = int(text) if text else default
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {text!r}.") from None
    if not least <= number <= most:
        raise ImproperlyConfigured(f"{name} must be between {least} and {most}, not {number}.")
    return number


def env_numbers(name: str) -> dict[str, int]:
    """Whole numbers by name: parts of a text, split at commas, each `name=number`."""
    numbers = {}
    for part in env_list(name):
        key, _, number = part.rpartition("=")
        if not key.strip() or not number.strip().isdigit() or int(number) < 1:
            raise ImproperlyConfigured(f"{name} holds {part!r}, which is not of the form name=number.")
        numbers[key.strip()] = int(number)
    return numbers


def env_list(name: str) -> list[str]:
    """Parts of a text, split at commas."""
    return [part.strip() for part in env(name).split(",") if part.strip()]


def env_allow_list(name: str) -> AllowList:
    """Host names, addresses and networks, split at commas."""
    try:
        return AllowList.parse(env_list(name))
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}.") from None


def read_or_make_secret_key(data_dir: Path) -> str:
    """The key for sessions and for secrets at rest: made at the first start, kept in a 0600 file."""
    path = data_dir / "secret.key"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        make_data_dir(data_dir)
        key = secrets.token_urlsafe(48)
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            return path.read_text().strip()
        with os.fdopen(handle, "w") as file:
            file.write(key)
        return key


def database_from_url(url: str) -> dict[str, Any]:
    """Django's settings of `postgresql://user:password@host:port/name?host=/socket/folder`."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"DATABASE_URL must begin with postgresql://, not {parts.scheme!r}.")
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "ade",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", "") or parts.hostname or "",
        "PORT": str(parts.port or ""),
        # A connection lives as long as its thread; core/threads.py checks it around each use.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": False,
        # Statements that come again are prepared, with the parameters apart: a third of the time of a simple one. Left to itself
        # PostgreSQL would switch to a generic plan after a few runs: 1.8 -> 84 ms for a vector search.
        "OPTIONS": {
            "server_side_binding": True,
            "prepare_threshold": 3,
            "options": "-c plan_cache_mode=force_custom_plan",
            **options,
        },
    }


CODE_DIR = Path(__file__).resolve().parent
#: Where templates/ and static/ are: beside the packages in a checkout, inside the package in a wheel.
ASSETS_DIR = CODE_DIR.parent if (CODE_DIR.parent / "templates").is_dir() else CODE_DIR / "_assets"
DATA_DIR = Path(env("ADE_DATA_DIR") or default_data_dir()).expanduser()

DEBUG = env_flag("ADE_DEBUG")
SECRET_KEY = env("ADE_SECRET_KEY") or read_or_make_secret_key(DATA_DIR)

# Where the server listens. The launcher sets both; they decide whether trusted local mode may be on (accounts/auth.py).
HOST = env("ADE_HOST", "127.0.0.1")
PORT = env_int("ADE_PORT", 8283, most=65535)
SERVER = env("ADE_SERVER", "uvicorn")
WORKERS = env_int("ADE_WORKERS", 1, least=1, most=64)
REDIS_URL = env("REDIS_URL")
#: Names under which the server may be called besides loopback. A name here switches trusted local mode off.
EXTRA_HOSTS = env_list("ADE_ALLOWED_HOSTS")
#: Other origins whose pages may call the API (CORS); none by default.
ACCEPTABLE_ORIGINS = env_list("ACCEPTABLE_ORIGINS")
#: Ask for a key or a login even on loopback.
REQUIRE_LOGIN = env_flag("ADE_REQUIRE_LOGIN")
#: Behind a proxy that sets X-Forwarded-Proto and X-Forwarded-For: both are believed.
TRUST_PROXY = env_flag("ADE_TRUST_PROXY")
if TRUST_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
URL_PREFIX = env("ADE_URL_PREFIX").rstrip("/")
# Host and Origin are checked by accounts/auth.py for REST, pages and websockets alike.
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    # Daphne brings Twisted, which costs each start 0.2 s and 25 MB; only its `runserver` must be an app.
    *(["daphne"] if "runserver" in sys.argv else []),
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "channels",
    "django_htmx",
    "procrastinate.contrib.django",
    "letta_ade.core",
    "letta_ade.accounts",
    "letta_ade.llm",
    "memory",
    "tools",
    "agents",
    "letta_ade.web",
]

# The middleware of pages. /v1 has none of it: core/asgi.py.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "letta_ade.web.static_files.StaticFilesMiddleware",
    "letta_ade.web.packing.PackedPagesMiddleware",
    "letta_ade.web.security.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "letta_ade.web.security.CallerMiddleware",
]

ROOT_URLCONF = "letta_ade.urls"
ASGI_APPLICATION = "letta_ade.asgi.application"
FORCE_SCRIPT_NAME = URL_PREFIX or None

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ASSETS_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.messages.context_processors.messages",
                "letta_ade.web.shell.shell_context",
            ],
            "libraries": {"ade": "letta_ade.web.template_tags"},
            "builtins": ["letta_ade.web.template_tags", "django.templatetags.static"],
        },
    }
]

#: Empty means the embedded server, which the launcher starts and then names here.
DATABASE_URL = env("DATABASE_URL")
DATABASES = {"default": database_from_url(DATABASE_URL or "postgresql:///ade")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
#: Threads that may use the database at once, each with a connection of its own.
DATABASE_THREADS = env_int("ADE_DATABASE_THREADS", 16, least=2, most=150)
#: Threads that may wait for servers of others at once (an embedding that a tool needs).
OUTSIDE_THREADS = 64

#: A step that is to be stored waits so long for a database that is away; then its run fails. Below a lease's life.
DATABASE_PATIENCE_SECONDS = 20.0

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "web:login"
LOGIN_REDIRECT_URL = "web:home"

#: How long somebody stays signed in, used or not.
SESSION_HOURS = env_int("ADE_SESSION_HOURS", 14 * 24, least=1, most=24 * 365)
SESSION_COOKIE_AGE = SESSION_HOURS * 3600
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"{URL_PREFIX}/"
#: How often an open websocket is asked whether its caller may still be there.
ACCESS_CHECK_SECONDS = 60.0
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_NAME = "ade_session"
CSRF_COOKIE_NAME = "ade_csrf"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "letta_ade.web.errors.csrf_failure"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"

CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 1000}}
}

STATIC_URL = f"{URL_PREFIX}/static/"
STATICFILES_DIRS = [ASSETS_DIR / "static"]
# Files are served from where they lie: no collectstatic step in a start that must take two seconds.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

#: What may be called although it is not public, where a user chose the address (core/outbound.py).
OUTBOUND_ALLOW = env_allow_list("ADE_OUTBOUND_ALLOW")
#: Images that a message names by address: the largest, how many in a request, and how long each may take.
MAX_IMAGE_BYTES = env_int("ADE_MAX_IMAGE_MB", 10, least=1) * 1024 * 1024
MOST_IMAGES_BY_ADDRESS = 20
IMAGE_SECONDS = 5.0

#: A request body over this is refused (413); images and agent files travel in it.
MAX_BODY_BYTES = env_int("ADE_MAX_BODY_MB", 64, least=1) * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000

# Models
LLM_ENVIRONMENT = {name: env(name) for name in PROVIDER_VARIABLES if env(name)}
try:
    openai_api(LLM_ENVIRONMENT)
except ValueError as bad_word:
    raise ImproperlyConfigured(str(bad_word)) from None
#: Handle → tokens, where a model's window is not what its server or our table says.
LLM_CONTEXT_WINDOWS = env_numbers("ADE_CONTEXT_WINDOWS")
DEFAULT_LLM_HANDLE = env("LETTA_DEFAULT_LLM_HANDLE")
DEFAULT_EMBEDDING_HANDLE = env("LETTA_DEFAULT_EMBEDDING_HANDLE")
GLOBAL_MAX_CONTEXT_WINDOW = env_int("GLOBAL_MAX_CONTEXT_WINDOW_LIMIT", 128_000, least=1000)
LLM_REQUEST_TIMEOUT_SECONDS = env_int("LETTA_LLM_REQUEST_TIMEOUT_SECONDS", 60, least=10, most=1800)
LLM_STREAM_TIMEOUT_SECONDS = env_int("LETTA_LLM_STREAM_TIMEOUT_SECONDS", 600, least=10, most=7200)
#: How often a call that failed for a passing reason is sent again, and the first pause (it doubles).
LLM_RETRIES = env_int("ADE_LLM_RETRIES", 2, most=10)
LLM_RETRY_PAUSE_SECONDS = 0.5
#: Pause between the words of demo/assistant.
DEMO_WORD_PAUSE_SECONDS = env_int("ADE_DEMO_WORD_PAUSE_MS", 25, most=1000) / 1000

#: Each app's jobs are in its module of this name; a worker knows no others, and defers no others on time.
PROCRASTINATE_AUTODISCOVER_MODULE_NAME = "jobs"
#: Work on jobs inside the serving process. Tests and further web processes do not.
RUN_JOB_WORKER = env_flag("ADE_JOB_WORKER", True)

# Runs
#: Background runs that one process works on at once.
BACKGROUND_RUNS = env_int("ADE_BACKGROUND_RUNS", 50, least=1, most=10_000)
DEFAULT_MAX_STEPS = 50
#: An agent that asks another one waits so long for its answer, and before that so long for it to have time.
AGENT_REPLY_SECONDS = 1200.0
AGENT_BUSY_SECONDS = 60.0
#: A message that is left for an agent is tried so often while that one is busy: about an hour.
AGENT_MESSAGE_TRIES = 66
KEEPALIVE_SECONDS = env_int("LETTA_KEEPALIVE_INTERVAL", 20, least=1, most=600)
#: A run's lease: renewed three times in its life, so that a stalled loop loses it and a dead process is noticed.
LEASE_SECONDS = env_int("ADE_LEASE_SECONDS", 30, least=3, most=3600)
#: A tool that built-in code runs (not the sandbox) may take this long.
TOOL_TIMEOUT_SECONDS = env_int("TOOL_SANDBOX_TIMEOUT", 180, least=1, most=3600)
# Tools that users write (tools/sandbox)
#: Where they run: here, or at E2B.
SANDBOX = env("ADE_SANDBOX", "local")
if SANDBOX not in {"local", "e2b"}:
    raise ImproperlyConfigured(f"ADE_SANDBOX must be local or e2b, not {SANDBOX!r}.")
E2B_API_KEY = env("E2B_API_KEY")
E2B_TEMPLATE = env("E2B_TEMPLATE")
E2B_DOMAIN = env("E2B_DOMAIN")
E2B_API_URL = env("E2B_API_URL")
E2B_SANDBOX_URL = env("E2B_SANDBOX_URL")
if SANDBOX == "e2b" and not E2B_API_KEY:
    raise ImproperlyConfigured("ADE_SANDBOX=e2b needs E2B_API_KEY.")
#: Run them also where nothing stands between them and this server.
ALLOW_UNSANDBOXED = env_flag("ADE_ALLOW_UNSANDBOXED")
#: Parts of the sandbox that are left out: bubblewrap, namespaces, landlock, seccomp.
SANDBOX_WITHOUT = frozenset(env_list("ADE_SANDBOX_WITHOUT"))
if strange := SANDBOX_WITHOUT - {"bubblewrap", "namespaces", "landlock", "seccomp"}:
    raise ImproperlyConfigured(
        f"ADE_SANDBOX_WITHOUT holds {min(strange)!r}; it knows bubblewrap, namespaces, landlock and seccomp."
    )
#: Calls at the same time in one process of the server; others wait.
SANDBOX_CALLS = env_int("ADE_SANDBOX_CALLS", 16, least=1, most=1000)
SANDBOX_MEMORY_MB = env_int("ADE_SANDBOX_MEMORY_MB", 2048, least=64)
SANDBOX_TMP_MB = env_int("ADE_SANDBOX_TMP_MB", 128, least=1)
SANDBOX_OUTPUT_KB = env_int("ADE_SANDBOX_OUTPUT_KB", 256, least=1)
SANDBOX_PROCESSES = env_int("ADE_SANDBOX_PROCESSES", 64, least=1)
#: Who gets the network (public addresses only): nobody, tools that ask for it, or all.
SANDBOX_NETWORK = env("ADE_SANDBOX_NETWORK", "ask")
if SANDBOX_NETWORK not in {"never", "ask", "always"}:
    raise ImproperlyConfigured(f"ADE_SANDBOX_NETWORK must be never, ask or always, not {SANDBOX_NETWORK!r}.")
#: Whose data a tool's `client` reaches: those of its agent, or of the whole workspace.
TOOL_CLIENT_SCOPE = env("ADE_TOOL_CLIENT_SCOPE", "agent")
if TOOL_CLIENT_SCOPE not in {"agent", "workspace"}:
    raise ImproperlyConfigured(
        f"ADE_TOOL_CLIENT_SCOPE must be agent or workspace, not {TOOL_CLIENT_SCOPE!r}."
    )
#: Packages that tools need: how long installing may take, and whether a package may be built, which runs its code outside the sandbox.
REQUIREMENTS_SECONDS = env_int("ADE_REQUIREMENTS_SECONDS", 300, least=10, most=3600)
REQUIREMENTS_BUILD = env_flag("ADE_REQUIREMENTS_BUILD")
#: Events wait this long for company before they are written and sent to pages.
EVENT_BATCH_SECONDS = 0.025
#: A page that watches a run is sent what came in so long at once: a browser draws the whole page for each frame, and forty of them a
#: second cost it half a core.
PAGE_BATCH_SECONDS = 0.1
#: A callback is tried so often, each time for so long; the first pause between two tries doubles: 20 s to 320 s, ten minutes.
CALLBACK_TRIES = 6
CALLBACK_SECONDS = 5.0
CALLBACK_PAUSE_SECONDS = 20
#: A page that takes no frame for so long is let go; it connects again when it is back.
SOCKET_PATIENCE_SECONDS = 20
#: A run that tells nothing for so long is not coming back.
STREAM_SILENCE_SECONDS = 1800
#: Requests for an approval or a client's return that nobody answers end after so many hours; 0: never.
REQUEST_EXPIRY_HOURS = env_int("ADE_REQUEST_EXPIRY_HOURS", 0, most=24 * 365)
#: How long the events of a run are kept for readers that resume.
EVENT_RETENTION_HOURS = env_int("ADE_EVENT_RETENTION_HOURS", 3, least=1, most=24 * 365)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{asctime} {levelname:7} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": env("ADE_LOG_LEVEL", "WARNING").upper()},
    "loggers": {
        # A 404 or a refused login is an answer, not an incident.
        "django.request": {"level": "ERROR"},
        "django.channels.server": {"level": "ERROR"},
    },
}
