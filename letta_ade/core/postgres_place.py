"""Where an embedded PostgreSQL lives, and as whom it runs."""

from __future__ import annotations

import os
import pwd
import secrets
import stat
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from letta_ade.core.data_folder import make_data_dir
from letta_ade.core.errors import AdeError

#: Where root keeps what an unprivileged account must reach: it cannot pass a venv or home in a 0700 folder.
ROOT_FOLDER = Path("/var/lib/letta-ade")
#: The accounts a root process may drop to, best first. Never one that the tool sandbox uses.
ACCOUNTS = ("letta-ade", "daemon")
#: A socket address holds 107 bytes, and PostgreSQL adds its socket's name to the folder's.
SOCKET_FOLDER_LIMIT = 80


class PostgresFailed(AdeError):
    """The embedded PostgreSQL does not start."""

    code = "DATABASE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one embedded server lives, and as whom."""

    folder: Path  # ours: password, locks, log
    home: Path  # the server's: data and socket; the same as `folder`, unless root must keep it elsewhere
    account: pwd.struct_passwd | None  # who runs it, when we are root

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    @property
    def log(self) -> Path:
        return self.folder / "postgres.log"

    @property
    def password_file(self) -> Path:
        return self.folder / "password"

    @property
    def owner(self) -> int:
        return self.account.pw_uid if self.account else os.geteuid()

    @property
    def sockets(self) -> Path:
        """A folder for the socket whose path is short enough for a socket address."""
        near = self.home / "run"
        if len(os.fsencode(near)) <= SOCKET_FOLDER_LIMIT:
            return near
        name = sha256(os.fsencode(self.home)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"letta-ade-{self.owner}-{name}"

    def own(self, path: Path) -> None:
        """Give `path` to the account that runs the server."""
        if self.account:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def make_folder(self, path: Path) -> Path:
        """Make `path` a 0700 folder of the server's; refuse one that somebody else put there."""
        try:
            path.mkdir(mode=0o700)
            self.own(path)
        except FileExistsError:
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.owner:
                raise PostgresFailed(f"{path} exists and is not ours; remove it and start again.") from None
            path.chmod(0o700)
        return path


def make_root_folder() -> None:
    """Make the folder that every account may pass through."""
    if not ROOT_FOLDER.is_dir():
        ROOT_FOLDER.mkdir(parents=True, exist_ok=True)
        ROOT_FOLDER.chmod(0o755)


def locate(data_dir: Path) -> Place:
    """The place of the server of this data folder; made, if it is new.

    Raises:
        PostgresFailed: the folder belongs to somebody else, or what it points at is gone.
    """
    folder = data_dir / "postgres"
    is_root = os.geteuid() == 0
    try:
        make_data_dir(data_dir)
        if not folder.is_dir():
            # Several may start at once; the first one makes it.
            folder.mkdir(exist_ok=True)
            folder.chmod(0o711 if is_root else 0o700)
    except OSError as error:
        raise PostgresFailed(f"The data folder {data_dir} cannot be written: {error.strerror}.") from error
    home = _home(folder)
    if (home / "data").is_dir():
        owner = (home / "data").stat().st_uid
        if not is_root and owner != os.geteuid():
            raise PostgresFailed(f"The database in {home} belongs to another user (uid {owner}).")
        account = pwd.getpwuid(owner) if is_root else None
    else:
        account = _unprivileged_account() if is_root else None
    return Place(folder=folder, home=home, account=account)


def _home(folder: Path) -> Path:
    """Where data and socket go: in the folder, if the account that runs the server can get there."""
    pointer = folder / "location"
    if pointer.exists():
        home = Path(pointer.read_text().strip())
        if not home.is_dir():
            raise PostgresFailed(
                f"The database of this data folder was kept in {home}, which is gone. "
                f"Bring it back, or delete {pointer} to begin with an empty one."
            )
        return home
    if os.geteuid() != 0 or (folder / "data").is_dir() or _is_reachable(folder):
        return folder
    make_root_folder()
    home = ROOT_FOLDER / f"data-{secrets.token_hex(8)}"
    home.mkdir()
    home.chmod(0o711)
    (home / "belongs-to").write_text(f"{folder.parent}\n")  # for whoever tidies up after a deleted folder
    pointer.write_text(f"{home}\n")
    return home


def _is_reachable(folder: Path) -> bool:
    """Whether any account may pass through all folders down to this one."""
    real = folder.resolve()
    return all(step.stat().st_mode & stat.S_IXOTH for step in (real, *real.parents))


def _unprivileged_account() -> pwd.struct_passwd:
    for name in ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresFailed(
        "PostgreSQL does not run as root, and this machine has no account to run it as. "
        "Make one (`useradd --system letta-ade`), start as a normal user, or set DATABASE_URL."
    )
