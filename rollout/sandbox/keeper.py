"""Keeps one session: a trusted process between the host and the child whose variables live from cell to cell."""

import signal
import socket

from rollout.sandbox.child import Cage, Child
from rollout.sandbox.waiting import wait_for
from rollout.sandbox.wire import NUM_DESCRIPTORS, READY, Ending, Reply, Request, receive


def keep(host: socket.socket, host_process: int, cage: Cage) -> None:
    """Greet, then answer cells until the host or the child is gone, or the session was idle for too long."""
    host.send(READY)
    child = Child.fork(cage)
    while events := wait_for([host.fileno(), host_process, child.process], cage.limits.idle_s):
        if child.process in events:
            end = Reply(Ending.FORGED, child.reap())
            if _is_told(child, end):
                host.send(end.pack())
            return
        message, descriptors = receive(host)
        if host_process in events or len(descriptors) != NUM_DESCRIPTORS:  # the end of the stream
            child.end()
            return
        reply = _run(child, Request.unpack(message), descriptors, [host.fileno(), host_process])
        if reply is not None:
            host.send(reply.pack())
        if reply is None or reply.ending is not Ending.DONE:
            child.reap()
            return
    child.end()
    host.send(Reply(Ending.IDLE, 0).pack())


def _run(child: Child, request: Request, descriptors: list[int], watched: list[int]) -> Reply | None:
    token = child.begin(request, descriptors, is_last=False)
    return child.finish(request.wall_s, token, watched)


def _is_told(child: Child, reply: Reply) -> bool:
    """Of an end between cells: the code's own doing. That of a child without code yet, or by a kill from outside, the host
    finds out itself from the silence."""
    return child.has_begun and reply.exit_code != -signal.SIGKILL
