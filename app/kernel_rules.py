"""
The kernel's own rules for a process and all that it starts: Landlock for files, sockets and signals, seccomp for calls.

A rule can be added and never taken back. Neither needs a right of its own, so that a container without capabilities
has them too. Talks to the kernel by numbers: there is no other way without a package of C.

Source:
    `linux/landlock.h`, `linux/seccomp.h`, `asm/unistd.h` of Linux 6.18.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable
from contextlib import suppress
from enum import IntFlag
from functools import cache
from pathlib import Path
from socket import AF_UNIX, SOCK_SEQPACKET
from stat import S_ISDIR

_libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_CAPBSET_DROP = 38, 22, 24

# ── Landlock ───────────────────────────────────────────────────────────────

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
RULE_PATH_BENEATH = 1
ASK_VERSION = 1


class Files(IntFlag):
    """What may be done beneath a folder, or to a file."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READ = Files.READ_FILE | Files.READ_DIR
RUN = READ | Files.EXECUTE
# No link, socket, pipe or device can be made where a trainer writes: nobody who reads there is led elsewhere.
WRITE = (
    READ
    | (Files.WRITE_FILE | Files.TRUNCATE | Files.REFER)
    | (Files.MAKE_DIR | Files.MAKE_REG | Files.REMOVE_DIR | Files.REMOVE_FILE)
)
USE_DEVICE = READ | Files.WRITE_FILE | Files.IOCTL_DEV
CHANGE = READ | Files.WRITE_FILE | Files.TRUNCATE  # what is there, and make nothing new
_OF_FILES = Files.EXECUTE | Files.WRITE_FILE | Files.READ_FILE | Files.TRUNCATE | Files.IOCTL_DEV
_SINCE = ((2, Files.REFER), (3, Files.TRUNCATE), (5, Files.IOCTL_DEV))
TCP_SINCE, SCOPES_SINCE = 4, 6
ALL_TCP = 0b11  # bind, connect
ALL_SCOPES = 0b11  # abstract unix sockets, signals


@cache
def landlock_version() -> int:
    """Return the version of Landlock that this kernel has; 0 where it has none, or it is switched off."""
    found: int = _libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(ASK_VERSION))
    return max(0, found)


def restrict_files(rules: Iterable[tuple[Path, Files]]) -> None:
    """
    Let this process and all that it starts do to files what the rules allow, and nothing else.

    Closes TCP, abstract unix sockets and signals to others as well, where the kernel can.

    Raises:
        OSError: the kernel has no Landlock, or refuses.
    """
    version = landlock_version()
    if not version:
        raise OSError(errno.EOPNOTSUPP, "this kernel has no Landlock")
    handled = Files(sum(1 << at for at in range(16)))
    for since, right in _SINCE:
        handled &= ~right if version < since else ~Files(0)
    tcp, scopes = ALL_TCP * (version >= TCP_SINCE), ALL_SCOPES * (version >= SCOPES_SINCE)
    attributes = struct.pack("=QQQ", handled, tcp, scopes)[: 24 if scopes else 16 if tcp else 8]
    ruleset = _checked(_libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))
    try:
        for path, rights in rules:
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                _allow(ruleset, path, rights & handled)
        forbid_new_rights()
        _checked(_libc.syscall(RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: Files) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        kept = rights if S_ISDIR(os.fstat(place).st_mode) else rights & _OF_FILES
        rule = struct.pack("=Qi", kept, place)
        _checked(_libc.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, 0))
    finally:
        os.close(place)


def forbid_new_rights() -> None:
    """Let no program that is started from now on have more rights than this process, whatever its file says."""
    _checked(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


# ── Capabilities ───────────────────────────────────────────────────────────

CAPABILITIES = 64  # more than there are
# Chown, override and search permissions, act as an owner: what a worker that is root needs to read others' models.
KEPT_CAPABILITIES = 0b1111
CAPABILITY_FORM = 0x20080522


def drop_capabilities() -> None:
    """Leave a process of root no power over anything but files; without it, it could read other processes."""
    for number in range(CAPABILITIES):
        if not KEPT_CAPABILITIES >> number & 1:
            _libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)  # refused where there is none to drop
    head, held = struct.pack("=Ii", CAPABILITY_FORM, 0), ctypes.create_string_buffer(24)
    _checked(_libc.capget(head, held))
    low = [word & KEPT_CAPABILITIES for word in struct.unpack("=6I", held.raw)[:3]]
    _checked(_libc.capset(head, struct.pack("=6I", *low, 0, 0, 0)))


# ── seccomp ────────────────────────────────────────────────────────────────

SECCOMP_MODE_FILTER = 2
SECCOMP, ASK_ACTION = {"x86_64": 317, "aarch64": 277}, 2
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM  # an errno is the low half of the answer
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
FOREIGN_CALLS = 0x40000000  # x86-64's second table of calls, with numbers from here on
LOAD, AND, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06  # of the kernel's classic BPF
NUMBER_AT, ARCHITECTURE_AT, FAMILY_AT, TYPE_AT = 0, 4, 16, 24  # bytes into what a filter is shown
TYPE_MASK = 0xF  # of a socket; what is above are flags

_SOCKET = (41, 198)
_REFUSED = {  # by name, as x86-64 and aarch64 number them
    "connect": (42, 203),  # pairs of sockets are connected from the start
    "io_uring_setup": (425, 425),  # opens sockets past every filter
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "open_by_handle_at": (304, 265),
    "setns": (308, 268),
    "unshare": (272, 97),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # What only root could do anyway; a worker may be root.
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "sethostname": (170, 161),
}


@cache
def has_call_filters() -> bool:
    """Whether this kernel filters calls, and their numbers on this machine are known here."""
    number = SECCOMP.get(platform.machine())
    if number is None or struct.calcsize("P") != 8:  # noqa: PLR2004 - bytes of a pointer
        return False
    action = ctypes.c_uint32(REFUSE & 0xFFFF0000)
    return bool(_libc.syscall(number, ASK_ACTION, 0, ctypes.byref(action)) == 0)


def refuse_calls(*, for_cuda: bool = False) -> None:
    """
    Refuse this process and all that it starts the calls that reach other programs, a network or the kernel itself.

    Args:
        for_cuda: allow the one kind of socket without which CUDA does not begin: of this machine, in packets, and
            bound to a name of its own. It can be connected to nothing.

    Raises:
        OSError: the kernel filters no calls, or the machine's are not known here.
    """
    if not has_call_filters():
        raise OSError(errno.EOPNOTSUPP, "this kernel filters no calls")
    program = _filter(platform.machine(), for_cuda=for_cuda)
    instructions = ctypes.create_string_buffer(b"".join(program))
    head = struct.pack("=H6xQ", len(program), ctypes.addressof(instructions))
    forbid_new_rights()
    _checked(_libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, head, 0, 0))


def _filter(machine: str, *, for_cuda: bool) -> list[bytes]:
    """Return the filter: calls of another table are refused, those of the list and sockets too, all others pass."""
    at = list(ARCHITECTURES).index(machine)
    sockets = (
        (LOAD, FAMILY_AT, "", ""),
        (JUMP_EQUAL, int(AF_UNIX), "", "refuse"),
        (LOAD, TYPE_AT, "", ""),
        (AND, TYPE_MASK, "", ""),
        (JUMP_EQUAL, int(SOCK_SEQPACKET), "allow", "refuse"),
    )
    steps = [
        (LOAD, ARCHITECTURE_AT, "", ""),
        (JUMP_EQUAL, ARCHITECTURES[machine], "", "refuse"),
        (LOAD, NUMBER_AT, "", ""),
        (JUMP_AT_LEAST, FOREIGN_CALLS, "refuse", ""),
        *((JUMP_EQUAL, both[at], "refuse", "") for both in _REFUSED.values()),
        (JUMP_EQUAL, _SOCKET[at], "" if for_cuda else "refuse", "allow"),
        *(sockets if for_cuda else ()),
        (RETURN, ALLOW, "", ""),
        (RETURN, REFUSE, "", ""),
    ]
    places = {"allow": len(steps) - 2, "refuse": len(steps) - 1}
    return [
        struct.pack("=HBBI", code, *(places[name] - at - 1 if name else 0 for name in (then, otherwise)), value)
        for at, (code, value, then, otherwise) in enumerate(steps)
    ]
