"""A cluster of Valkey servers: which of them has a key, and what to do when keys move."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from random import random
from time import monotonic
from typing import Any

from valkey.crc import key_slot
from valkey.exceptions import ResponseError

from ..errors import BridgeError
from .connections import Address, Node, Options, code_of, reply_of, unavailable
from .interface import Argument, Command

SLOTS = 16_384
MAX_REDIRECTS = 8
TRY_AGAIN_SECONDS = 0.05
ASK_SECONDS = 1.0
"""At most so often is a cluster asked who has what; in between, it says where a key has gone."""

SENT_ON = ("TRYAGAIN", "MOVED", "ASK")
"""Replies after which a command is sent again, perhaps elsewhere."""

# Where a command's first key is, if it is not right behind the name.
KEY_AT = {"EVAL": 3, "EVALSHA": 3, "EVAL_RO": 3, "EVALSHA_RO": 3, "FCALL": 3, "BITOP": 2} | {
    "OBJECT": 2,
    "MEMORY": 2,
    "XGROUP": 2,
    "XINFO": 2,
    "ZINTER": 2,
    "ZUNION": 2,
    "ZDIFF": 2,
    "SINTERCARD": 2,
    "LMPOP": 2,
    "ZMPOP": 2,
}
KEYLESS = frozenset({"PING", "ECHO", "INFO", "DBSIZE", "TIME", "WAIT", "WAITAOF", "PUBLISH"}) | {
    "CONFIG",
    "CLIENT",
    "COMMAND",
    "CLUSTER",
    "SCRIPT",
    "FLUSHALL",
    "FLUSHDB",
    "SCAN",
    "KEYS",
}


def key_of(command: Command) -> Argument | None:
    """Return a command's first key; None where it has none."""
    name = str(command[0]).upper()
    if name in KEYLESS:
        return None
    if name in ("XREAD", "XREADGROUP"):
        words = [str(word).upper() for word in command]
        return command[words.index("STREAMS") + 1]
    at = KEY_AT.get(name, 1)
    return command[at] if len(command) > at else None


class Cluster:
    """The servers of a cluster.

    Which has what is asked once, and again after a redirection or a failure.
    """

    def __init__(self, seeds: Sequence[Node], options: Options) -> None:
        self._seeds = seeds
        self._options = options
        self._nodes: dict[Address, Node] = {node.address: node for node in seeds}
        self._slots: list[Node | None] = [None] * SLOTS
        self._asked_at = 0.0
        self._asking = asyncio.Lock()

    async def send(
        self, command: Command, key: Argument | None, deadline: float, *, tracked: bool
    ) -> Any:
        """Run a command where its key is; return its reply."""
        node = await self._node_of(key, deadline)
        (reply,) = await node.exchange([command], deadline, tracked=tracked)
        return await self._settled(node, command, reply, deadline)

    async def send_each(
        self, commands: Sequence[Command], deadline: float, *, tracked: bool
    ) -> list[Any]:
        """Run commands, each where its key is, a server's in one go; return their replies."""
        groups: dict[Node, list[int]] = {}
        for index, command in enumerate(commands):
            groups.setdefault(await self._node_of(key_of(command), deadline), []).append(index)
        parts = await asyncio.gather(
            *(
                self._send_to(
                    node, [commands[index] for index in indexes], deadline, tracked=tracked
                )
                for node, indexes in groups.items()
            ),
            return_exceptions=True,  # Otherwise, the rest would run on, and nobody would know.
        )
        replies: dict[int, Any] = {}
        for indexes, part in zip(groups.values(), parts, strict=True):
            if isinstance(part, BaseException):
                raise part
            replies |= zip(indexes, part, strict=True)
        return [replies[index] for index in range(len(commands))]

    async def aclose(self) -> None:
        """Close every connection."""
        for node in self._known():
            await node.aclose()

    async def _send_to(
        self, node: Node, commands: Sequence[Command], deadline: float, *, tracked: bool
    ) -> list[Any]:
        replies = await node.exchange(commands, deadline, tracked=tracked)
        return [
            await self._settled(node, command, reply, deadline)
            for command, reply in zip(commands, replies, strict=True)
        ]

    async def _settled(self, node: Node, command: Command, reply: Any, deadline: float) -> Any:
        """Return a command's reply, from wherever its keys have gone.

        A command that is redirected has not been done: it may be sent again.
        """
        for _ in range(MAX_REDIRECTS):
            code = code_of(reply) if isinstance(reply, ResponseError) else ""
            if code in SENT_ON:
                # By connections that tell of no changes.
                self._options.invalidations.lost()
            match code:
                case "TRYAGAIN":
                    await asyncio.sleep(TRY_AGAIN_SECONDS)
                    (reply,) = await node.exchange([command], deadline)
                case "MOVED":
                    node = await self._moved(node, str(reply), deadline)
                    (reply,) = await node.exchange([command], deadline)
                case "ASK":
                    asked = self._node_at(_target(node, str(reply)))
                    _, reply = await asked.exchange([("ASKING",), command], deadline)
                case _:
                    return reply_of(reply)
        raise unavailable()

    async def _moved(self, node: Node, error: str, deadline: float) -> Node:
        """Return the server that has a slot now; others may have moved with it."""
        target = self._node_at(_target(node, error))
        self._slots[int(error.split()[1])] = target
        await self._ask([node], deadline)
        return target

    async def _node_of(self, key: Argument | None, deadline: float) -> Node:
        slot = 0 if key is None else key_slot(_encoded(key))
        node = self._slots[slot]
        if node is None or node.outage.lasts:
            # Another may have taken over from it.
            await self._ask([other for other in self._known() if other is not node], deadline)
            node = self._slots[slot]
        if node is None:
            raise unavailable()
        return node

    def _known(self) -> list[Node]:
        return list(dict.fromkeys([*self._nodes.values(), *self._seeds]))

    def _node_at(self, address: Address) -> Node:
        if address not in self._nodes:
            self._nodes[address] = Node(address, self._options)
        return self._nodes[address]

    async def _ask(self, nodes: Sequence[Node], deadline: float) -> None:
        """Ask who has what, until one knows; not if that was done a moment ago."""
        async with self._asking:
            if any(self._slots) and monotonic() - self._asked_at < ASK_SECONDS:
                return
            self._asked_at = monotonic()
            # Shuffled, lest one that never answers takes all the time every time.
            for node in sorted(nodes, key=_preference):
                with suppress(BridgeError):
                    (reply,) = await node.exchange([("CLUSTER", "SLOTS")], deadline)
                    if ranges := list(_ranges(node, reply_of(reply))):
                        await self._adopt(ranges)
                        return

    async def _adopt(self, ranges: Sequence[tuple[int, int, Address]]) -> None:
        slots: list[Node | None] = [None] * SLOTS
        for first, last, address in ranges:
            slots[first : last + 1] = [self._node_at(address)] * (last + 1 - first)
        self._slots = slots
        gone = self._nodes.keys() - {address for _, _, address in ranges}
        for address in gone:
            await self._nodes.pop(address).aclose()


def _preference(node: Node) -> tuple[bool, float]:
    return node.outage.lasts, random()  # noqa: S311 - no secret depends on it


def _ranges(node: Node, reply: Any) -> Iterator[tuple[int, int, Address]]:
    """Return which slots are at which servers, by the answer of one."""
    for first, last, primary, *_ in reply:
        host = (primary[0] or b"").decode()
        # A server that does not know its own name is where we asked.
        unknown = host in ("", "?")
        yield first, last, Address(node.address.host if unknown else host, primary[1])


def _target(node: Node, error: str) -> Address:
    """Return where `MOVED 3999 127.0.0.1:6381` points; without a host, it is the same one."""
    host, _, port = error.split()[2].rpartition(":")
    return Address(host or node.address.host, int(port))


def _encoded(key: Argument) -> bytes:
    return key if isinstance(key, bytes) else str(key).encode()
