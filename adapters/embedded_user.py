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
_VERSION, _ENTRY = 2, "<HHI"
_OWNER, _USER, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_UNDEFINED = 0xFFFFFFFF
_PASS = 1


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
    if status.st_gid == user.pw_gid:
        return bool(status.st_mode & stat.S_IXGRP)
    unmasked = bool(status.st_mode & stat.S_IXGRP)  # with an access list, the group's bits are its mask
    return unmasked and _entry(user.pw_uid) in _access_list_of(directory)


def _access_list_of(directory: Path) -> bytes:
    try:
        return os.getxattr(directory, _ACL)
    except (AttributeError, OSError):
        return b""


def _grant(user: pwd.struct_passwd, directory: Path) -> None:
    found, wanted = _access_list_of(directory), _access_list(user.pw_uid, directory.stat().st_mode)
    if not found or (len(found) == len(wanted) and _entry(user.pw_uid) in found):
        try:
            os.setxattr(directory, _ACL, wanted)
        except (AttributeError, OSError):
            log.debug("%s keeps no access lists", directory)
        else:
            log.info("let the system user %s pass through %s", user.pw_name, directory)
            return
    directory.chmod(directory.stat().st_mode | stat.S_IXOTH)
    log.warning("let all users pass through %s, so that PostgreSQL can run as %s", directory, user.pw_name)


def _access_list(uid: int, mode: int) -> bytes:
    """Write the access list that says what ``mode`` says, and lets one user pass; the kernel's own format."""
    owner, group, other = (mode >> 6) & 7, (mode >> 3) & 7, mode & 7
    entries = (
        struct.pack(_ENTRY, _OWNER, owner, _UNDEFINED),
        _entry(uid),
        struct.pack(_ENTRY, _GROUP, group, _UNDEFINED),
        struct.pack(_ENTRY, _MASK, group | _PASS, _UNDEFINED),
        struct.pack(_ENTRY, _OTHER, other, _UNDEFINED),
    )
    return struct.pack("<I", _VERSION) + b"".join(entries)


def _entry(uid: int) -> bytes:
    """Write the line of an access list that lets one user pass."""
    return struct.pack(_ENTRY, _USER, _PASS, uid)
