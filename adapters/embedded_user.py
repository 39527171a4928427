"""An unprivileged system user for PostgreSQL, which refuses to run as root.

Needed only when livetill itself runs as root, as it does in many containers. The user gets the right to pass through
the directories above the data and above the binaries, and no other right: by an access list for that one user where
the file system has them, else by the search bit for all.
"""

import logging
import os
import pwd
import shutil
import stat
import struct
import subprocess
from pathlib import Path

from adapters.embedded_server import EmbeddedError

log = logging.getLogger(__name__)

NAME = "livetill"
_ACL = "system.posix_acl_access"
_UNDEFINED = 0xFFFFFFFF
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20


def runner(data: Path) -> pwd.struct_passwd | None:
    """Return the system user that must run PostgreSQL on ``data``, or ``None`` when it is the current one."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return pwd.getpwuid(data.stat().st_uid)
    return _system_user()


def _system_user() -> pwd.struct_passwd:
    """Return the user ``livetill``, made when missing; ``nobody`` where users cannot be made."""
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        pass
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd is not None:
        command = [useradd, "--system", "--no-create-home", "--home-dir", "/", "--shell", "/usr/sbin/nologin", NAME]
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - a fixed command
    for name in (NAME, "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedError("PostgreSQL does not run as root: start livetill as another user, or add a user 'livetill'")


def let_through(user: pwd.struct_passwd, path: Path) -> None:
    """Let ``user`` pass the directories above ``path``: passing is needed to open what lies below, listing is not."""
    for directory in path.resolve().parents:
        if not _may_pass(user, directory):
            _grant(user, directory)


def _may_pass(user: pwd.struct_passwd, directory: Path) -> bool:
    status = directory.stat()
    if status.st_uid == user.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_mode & stat.S_IXOTH:
        return True
    return status.st_gid == user.pw_gid and bool(status.st_mode & stat.S_IXGRP)


def _grant(user: pwd.struct_passwd, directory: Path) -> None:
    try:
        if _ACL not in os.listxattr(directory):
            os.setxattr(directory, _ACL, _access_list(user.pw_uid, directory.stat().st_mode))
            log.info("let the system user %s pass through %s", user.pw_name, directory)
            return
    except (AttributeError, OSError):
        log.debug("%s keeps no access lists", directory)
    directory.chmod(directory.stat().st_mode | stat.S_IXOTH)
    log.warning("let all users pass through %s, so that PostgreSQL can run as %s", directory, user.pw_name)


def _access_list(uid: int, mode: int) -> bytes:
    """Write the access list that says what ``mode`` says, and lets one user pass; the kernel's own format."""
    group = (mode >> 3) & 7
    entries = (
        (_USER_OBJ, (mode >> 6) & 7, _UNDEFINED),
        (_USER, 1, uid),
        (_GROUP_OBJ, group, _UNDEFINED),
        (_MASK, group | 1, _UNDEFINED),
        (_OTHER, mode & 7, _UNDEFINED),
    )
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
