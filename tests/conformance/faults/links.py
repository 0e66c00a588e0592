"""TCP connections that last: every state admits them, so what one end sends comes back, whatever
happens meanwhile; a loss only delays it."""

import selectors
import socket
import threading
import time
from contextlib import suppress

PORT = 81


class Link:
    """One connection; both its ends are here."""

    def __init__(self, pods, near, far):
        self.pods, self.near, self.far = pods, near, far
        self.sent, self.answered, self.broken = 0, 0, ""


class Links:
    """Sends on each link, for as long as the block, and answers at the other end."""

    def __init__(self, every_s=0.05):
        self._every_s = every_s
        self._links = []
        self._selector = selectors.DefaultSelector()
        self._turn, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="links", daemon=True)

    def add(self, source, client, destination, server, addresses):
        """Connect a pod to another, before the block."""
        address = addresses[destination]
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        listener = server.open(family)
        with listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((str(address), PORT))
            listener.listen()
            near = client.connect(str(address), PORT)
            far, _ = listener.accept()
        link = Link((source, destination), near, far)
        for end in (near, far):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(near, selectors.EVENT_READ, link)
        self._selector.register(far, selectors.EVENT_READ, link)
        self._links.append(link)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        for link in self._links:
            self._close(link)
        self._selector.close()

    def _close(self, link):
        for end in (link.near, link.far):
            with suppress(KeyError):  # it broke
                self._selector.unregister(end)
            end.close()

    def remove(self, pod):
        """Let go of the links of a pod."""
        with self._turn:
            gone = [link for link in self._links if pod in link.pods]
            self._links = [link for link in self._links if link not in gone]
            for link in gone:
                self._close(link)

    def late(self, limit_s=30):
        """The links on which something is still not answered after a while, or that broke."""
        wanted = {link: link.sent for link in self._links}
        end = time.monotonic() + limit_s
        while True:
            late = [link for link in wanted if link.broken or link.answered < wanted[link]]
            if not late or time.monotonic() > end:
                return [
                    f"{each.pods}: {each.answered} of {wanted[each]} answered {each.broken}"
                    for each in late
                ]
            time.sleep(0.02)

    def _run(self):
        due = time.monotonic()
        while not self._stop.is_set():
            with self._turn:
                if time.monotonic() >= due:
                    due = time.monotonic() + self._every_s
                    for link in self._links:
                        self._send(link)
                for key, _ in self._selector.select(0):
                    self._receive(key.data, key.fileobj)
            self._stop.wait(0.005)

    def _send(self, link):
        try:
            link.sent += link.near.send(b"x")
        except BlockingIOError:
            return  # a full buffer: what it holds is not answered either
        except OSError as error:
            link.broken = str(error)

    def _receive(self, link, end):
        try:
            data = end.recv(4096)
            if not data:
                raise ConnectionResetError("ended")
            if end is link.far:
                link.far.send(data)
            else:
                link.answered += len(data)
        except OSError as error:
            link.broken = str(error)
            self._selector.unregister(end)
