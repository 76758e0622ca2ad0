"""The system calls that a tool may not make: a filter in the kernel's own small language, put together here.

What is known and harmless passes, since packages use a great many calls; what is dangerous is refused, and what is newer than our list
does not exist. Sockets need it most: Landlock does not cover the path of a unix socket, and a tool reached the database through one.
"""

from __future__ import annotations

import ctypes
import errno
from functools import cache

from tools.sandbox.inside import kernel

#: Name -> number on x86_64, on aarch64; None where there is no such call.
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # Other processes: their memory, their descriptors.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # Namespaces and mounts.
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    # Parts of the kernel that had the most holes.
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "fanotify_init": (300, 262),
    "memfd_secret": (447, 447),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "personality": (135, 92),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "seccomp": (317, 277),
    # The machine.
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    # Memory and messages that other processes of the same user could share.
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # A server on the loopback interface.
    "bind": (49, 200),
    "listen": (50, 201),
}
_CLONE = (56, 220)
_CLONE3 = 435
_IOCTL = (16, 29)
_SOCKET = (41, 198)
_SOCKETPAIR = (53, 199)
#: Each with the pid as its first argument.
_SIGNALS = {
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
}
_PIDFD_SEND_SIGNAL = 424
_NEWEST_KNOWN = 450
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32 = 0x40000000
_NEW_NAMESPACES = 0x7E020000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_SOCK_STREAM, _SOCK_KIND, _TCP = 1, 0xF, 6
_MSG_FASTOPEN = 0x20000000
#: These connect as well when they are told so, which Landlock does not see; each with the argument that tells.
_SENDS = {"sendto": (44, 206, 3), "sendmsg": (46, 211, 2), "sendmmsg": (307, 269, 3)}

# Instructions: load a word, compare with a constant (and jump), return; `and` with a constant.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN, _AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
_KILL, _ALLOW = 0x80000000, 0x7FFF0000
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16

_Instruction = tuple[int, int, int, int]


class _Filter(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    ]


class _Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_uint16), ("filter", ctypes.POINTER(_Filter))]


def is_known_machine() -> bool:
    """Whether there is a filter for this machine."""
    return kernel.IS_LINUX and kernel.MACHINE in _ARCHITECTURES


def confine(*, has_network: bool, only_pid: int | None) -> None:
    """Put the filter over this process and all that it starts.

    `only_pid`: signals to this process only; for where neither a namespace nor Landlock keeps them from others. Raises OSError.
    """
    array = _array(has_network=has_network, only_pid=only_pid)
    kernel.install_filter(_Program(len(array), ctypes.cast(array, ctypes.POINTER(_Filter))))


def prepare(*, has_network: bool) -> None:
    """Put the filter together before it is needed; what forks from here on has it."""
    _array(has_network=has_network, only_pid=None)


@cache
def _array(*, has_network: bool, only_pid: int | None) -> ctypes.Array[_Filter]:
    code = _program(has_network=has_network, only_pid=only_pid)
    return (_Filter * len(code))(*(_Filter(*each) for each in code))


def _program(*, has_network: bool, only_pid: int | None) -> list[_Instruction]:
    which, architecture = _ARCHITECTURES[kernel.MACHINE]
    code: list[_Instruction] = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
        (_AT_LEAST, 0, 1, _NEWEST_KNOWN + 1),
        (_RETURN, 0, 0, _refusal(errno.ENOSYS)),
        # Its flags are in memory, where a filter does not see them: glibc then takes `clone`.
        *_when(_CLONE3, [(_RETURN, 0, 0, _refusal(errno.ENOSYS))]),
    ]
    for numbers in _NUMBERS.values():
        if (number := numbers[which]) is not None:
            code += _when(number, [(_RETURN, 0, 0, _refusal(errno.EPERM))])
    code += _when(
        _CLONE[which],
        [
            (_LOAD, 0, 0, _argument(0)),
            (_ANY_BIT, 0, 1, _NEW_NAMESPACES),
            (_RETURN, 0, 0, _refusal(errno.EPERM)),
            (_RETURN, 0, 0, _ALLOW),
        ],
    )
    code += _when(
        _IOCTL[which],
        [
            (_LOAD, 0, 0, _argument(1)),
            (_EQUAL, 1, 0, _TIOCSTI),
            (_EQUAL, 0, 1, _TIOCLINUX),
            (_RETURN, 0, 0, _refusal(errno.EPERM)),
            (_RETURN, 0, 0, _ALLOW),
        ],
    )
    code += _when(
        _SOCKETPAIR[which],
        [
            (_LOAD, 0, 0, _argument(0)),
            (_EQUAL, 0, 1, _AF_UNIX),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _refusal(errno.EACCES)),
        ],
    )
    code += _when(_SOCKET[which], _sockets(has_network))
    for send in _SENDS.values():
        code += _when(
            send[which],
            [
                (_LOAD, 0, 0, _argument(send[2])),
                (_ANY_BIT, 0, 1, _MSG_FASTOPEN),
                (_RETURN, 0, 0, _refusal(errno.EPERM)),
                (_RETURN, 0, 0, _ALLOW),
            ],
        )
    if only_pid is not None:
        for signal in _SIGNALS.values():
            code += _when(
                signal[which],
                [
                    (_LOAD, 0, 0, _argument(0)),
                    (_EQUAL, 1, 0, 0),
                    (_EQUAL, 0, 1, only_pid),
                    (_RETURN, 0, 0, _ALLOW),
                    (_RETURN, 0, 0, _refusal(errno.EPERM)),
                ],
            )
        code += _when(_PIDFD_SEND_SIGNAL, [(_RETURN, 0, 0, _refusal(errno.EPERM))])
    code.append((_RETURN, 0, 0, _ALLOW))
    return code


def _sockets(has_network: bool) -> list[_Instruction]:
    if not has_network:
        return [(_RETURN, 0, 0, _refusal(errno.EACCES))]
    return [
        (_LOAD, 0, 0, _argument(0)),
        (_EQUAL, 2, 0, _AF_INET),
        (_EQUAL, 1, 0, _AF_INET6),
        (_RETURN, 0, 0, _refusal(errno.EACCES)),
        (_LOAD, 0, 0, _argument(1)),
        (_AND, 0, 0, _SOCK_KIND),
        (_EQUAL, 0, 4, _SOCK_STREAM),
        # Landlock judges TCP, and not what else makes a stream (MPTCP, SCTP).
        (_LOAD, 0, 0, _argument(2)),
        (_EQUAL, 1, 0, 0),
        (_EQUAL, 0, 1, _TCP),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _refusal(errno.EACCES)),
    ]


def _when(number: int, then: list[_Instruction]) -> list[_Instruction]:
    """`then`, which ends in a return, for the call of this number; the accumulator holds the number before and after."""
    return [(_EQUAL, 0, len(then), number), *then]


def _argument(index: int) -> int:
    """The lower half of an argument; both machines keep it first."""
    return _AT_ARGUMENTS + 8 * index


def _refusal(number: int) -> int:
    return 0x00050000 | number
