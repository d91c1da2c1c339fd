"""Questions to a rule's process and its answers, within a time."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dux_sandbox.findings import Finding, RuleFailed
from dux_sandbox.process.channel import MAX_JSON, ChannelBroken
from dux_sandbox.process.child import Child
from dux_sandbox.process.reported import NONSENSE, finding_of

log = logging.getLogger(__name__)

_JAIL_SECONDS = 10.0
_INSTEAD = {
    "time": (
        "loops whose turns are known and few, also inside one another; matrix "
        "factorisations at every tenth step or so, and of small matrices"
    ),
    "died": "stay within memory; use only what the table of names allows",
    "channel": "use only what the table of names allows",
    "memory": "keep at most a few tensors of each parameter's shape",
}

Reply = tuple[dict[str, Any], bytearray]


class Conversation:
    """The trainer's side of the talk with one child.

    Every fault of the child ends it and comes out as RuleFailed: a rule that failed
    once is not asked again.

    Attributes:
        child: the process.
        seconds: time the child has used to answer so far.
    """

    def __init__(self, child: Child, digest: str) -> None:
        self.child = child
        self.seconds = 0.0
        self._digest = digest
        self._number = 0
        child.channel.on_full = child.resume
        self._left = 0.0  # of the time for the answer that is being read
        # An interrupt has ended the wait for an answer: bytes that may come with it.
        self._unheard: int | None = None
        self._over: Finding | None = None  # what ended it

    def require_ours(self) -> None:
        """Raise RuleFailed in a fork of the trainer: the child is the trainer's own."""
        if not self.child.is_ours:
            said = "it is the rule of another process, of which this one is a fork"
            instead = "step where the agent was attached, or attach in the fork"
            raise self.fail_with(Finding("died", None, said, instead))

    def require_layers(self, names: Sequence[str]) -> dict[str, Any]:
        """Hear which layers of the jail hold, before the child has read any source.

        Returns:
            All that the child has said of its jail.

        Raises:
            RuleFailed: one of `names` does not; or the child is late, gone, or tells
                nonsense.
        """
        try:
            message, _ = self.child.channel.receive(_JAIL_SECONDS)
        except ChannelBroken as error:
            raise self.broken(error, _JAIL_SECONDS) from None
        self.child.pause()
        try:
            active = {row[0] for row in message["layers"] if row[1] is True}
        except NONSENSE:
            raise self.fail("channel", "its layers are malformed") from None
        missing = [name for name in names if name not in active]
        if missing:
            raise RuleFailed(
                Finding(
                    "jail",
                    None,
                    f"required layers are missing here: {', '.join(missing)}",
                    "run `dux doctor`; this is the host's fault, not the rule's",
                )
            )
        return message

    def ask(
        self,
        request: dict[str, Any],
        seconds: float,
        *,
        closure: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        blobs: list[bytes | memoryview] | None = None,
        max_json: int = MAX_JSON,
        max_blob: int = 0,
    ) -> Reply:
        """Send one request and wait for its answer.

        The process runs for as long as this takes, and is stopped before and after.

        Args:
            request: plain data with an "op".
            seconds: time the child may use; what `closure` uses does not count.
            closure: called with its message when the child asks for the loss; its
                return value is the answer. What it raises comes out.
            blobs: raw bytes that go with the request.
            max_json: the most text accepted, bytes; all messages of one answer count.
            max_blob: the most raw bytes accepted with it.

        Returns:
            The answer and its raw bytes; see `require_ok` for a fault it reports.

        Raises:
            RuleFailed: late, gone, or nonsense; or it was before.
            BaseException: an interrupt. The process is stopped then; what it answers is
                passed over when it is asked again.
        """
        if self._over is not None:
            raise RuleFailed(self._over)
        if self._unheard is not None:
            self._pass_over(self._unheard)
        self._number += 1
        request["id"] = self._number
        self._left = seconds
        channel = self.child.channel
        most = channel.text_received + max_json
        try:
            # It finds the question when it wakes: one change of process less.
            channel.send(request, blobs, seconds)
            self._unheard = max_blob
            self.child.resume()
            while True:
                with self.clock():
                    reply, blob = channel.receive(
                        self._left, most - channel.text_received, max_blob
                    )
                if reply.get("id") != self._number:
                    raise ChannelBroken("channel", "an answer repeats no question")
                if reply.get("call") != "closure" or closure is None:
                    break
                channel.send({"id": self._number, **closure(reply)}, None, seconds)
            self._unheard = None
            if channel.surplus:
                raise ChannelBroken("channel", "it said more than it was asked")
        except ChannelBroken as error:
            raise self.broken(error, seconds) from None
        finally:
            self.child.pause()
        return reply, blob

    def _pass_over(self, max_blob: int) -> None:
        """Hear the answer to the last question, which nobody waits for any more.

        Raises:
            RuleFailed: as `ask` in its time.
        """
        channel, closure_given_up = self.child.channel, False
        try:
            self.child.resume()
            while True:
                with self.clock():
                    reply, _ = channel.receive(self._left, MAX_JSON, max_blob)
                if reply.get("id") != self._number:
                    raise ChannelBroken("channel", "an answer repeats no question")
                if reply.get("call") != "closure":
                    break
                closure_given_up = True
                told = ["closure", None, "the closure was interrupted", ""]
                channel.send({"id": self._number, "stop": told}, None, self._left)
            self._unheard = None
        except ChannelBroken as error:
            raise self.broken(error, self._left) from None
        if not closure_given_up:  # else it says just that
            self.require_ok(reply)

    @contextmanager
    def clock(self) -> Iterator[None]:
        """What is done here counts as the process's time: reading what it sent, too.

        Raises:
            RuleFailed: it has used up the time that its request had.
        """
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            self._left -= spent
            self.seconds += spent
        if self._left <= 0:
            raise self.fail("time", "reading what it sent took longer than it had")

    def require_ok(self, reply: dict[str, Any]) -> None:
        """Raise RuleFailed when an answer reports a fault; the child ends."""
        if "error" in reply:
            raise self.fail_with(finding_of(reply["error"]))

    def broken(self, error: ChannelBroken, seconds: float) -> RuleFailed:
        """The finding for a channel that broke; the child ends."""
        if error.rule == "time":
            line = self.child.last_line()
            message = f"it used more than {seconds:.2f} s"
            return self.fail_with(Finding("time", line, message, _INSTEAD["time"]))
        return self.fail(error.rule, str(error))

    def fail(self, rule: str, message: str) -> RuleFailed:
        """A finding on this rule, to raise; the child ends."""
        instead = _INSTEAD.get(rule, "keep to plain values")
        return self.fail_with(Finding(rule, None, message, instead))

    def fail_with(self, finding: Finding) -> RuleFailed:
        """The same with a finding already made."""
        log.debug("rule %s failed: %s", self._digest[:12], finding)
        self._over = finding
        self.child.kill()
        return RuleFailed(finding)
