"""An SFTP server that is not OpenSSH, with quirks that are chosen by words and files.

usage: server.py PORT ROOT KEYS QUIRK...

KEYS holds host_ed25519, host_rsa and authorized_keys. A login sees ROOT as "/".
"""

import asyncio
import os
import sys
import time
import unicodedata

import asyncssh
from asyncssh import sftp

PORT, ROOT, KEYS = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3]
QUIRKS = dict(word.partition("=")[::2] for word in sys.argv[4:])


def has(quirk):
    return quirk in QUIRKS


EXTENSIONS = {
    "no-posix-rename": b"posix-rename@openssh.com",
    "no-fsync": b"fsync@openssh.com",
    "no-limits": b"limits@openssh.com",
    "no-statvfs": b"statvfs@openssh.com",
}
sftp.SFTPServerHandler._extensions = [
    (name, value)
    for name, value in sftp.SFTPServerHandler._extensions
    if not any(has(quirk) and name == gone for quirk, gone in EXTENSIONS.items())
]


class Server(asyncssh.SFTPServer):
    """One login."""

    of_all = 0

    def __init__(self, chan):
        super().__init__(chan, chroot=ROOT)
        self.open_files = 0
        self.closed = {}

    def map_path(self, path):
        # Names are kept in another form than they were given, and found by any.
        if has("medium") and any(it in path for it in b':*?"<>|\\'):
            # As OpenSSH and others answer on exFAT: by FUSE nothing is there, by the kernel the name is invalid.
            if QUIRKS["medium"] == "missing":
                raise asyncssh.SFTPNoSuchFile("No such file")
            raise asyncssh.SFTPFailure("Failure")
        form = QUIRKS.get("names")
        if form == "lower":
            path = path.decode().lower().encode()
        elif form:
            path = unicodedata.normalize(form.upper(), path.decode()).encode()
        return super().map_path(path)

    def open(self, path, pflags, attrs):
        held = Server.of_all if has("handles-of-all") else self.open_files
        if has("handles") and held >= int(QUIRKS["handles"]):
            raise asyncssh.SFTPPermissionDenied("another file is open")
        if has("no-truncate") and pflags & asyncssh.FXF_TRUNC and os.path.exists(self.map_path(path)):
            raise asyncssh.SFTPPermissionDenied("no overwriting")
        file = super().open(path, pflags, attrs)
        self.open_files += 1
        Server.of_all += 1
        return file

    def close(self, file_obj):
        self.open_files -= 1
        Server.of_all -= 1
        name = getattr(file_obj, "name", None)
        self.closed[name] = time.monotonic()
        return super().close(file_obj)

    def read(self, file_obj, offset, size):
        if has("endless-read") and offset + size > os.fstat(file_obj.fileno()).st_size:
            return bytes(size)
        if has("short-reads"):
            size = min(size, 1000)
        return super().read(file_obj, offset, size)

    async def scandir(self, path):
        if b"made-up" not in path:
            async for entry in super().scandir(path):
                yield entry
        n = 0
        while has("endless-folder"):
            attrs = asyncssh.SFTPAttrs(size=1, permissions=0o100644)
            if QUIRKS["endless-folder"] == "nested":
                attrs = asyncssh.SFTPAttrs(permissions=0o040755)
            name = b"again" if QUIRKS["endless-folder"] == "same" else b"made-up-%d" % n
            n += 1
            if QUIRKS["endless-folder"] == "nested" and n > 1:
                return
            await asyncio.sleep(0)
            yield asyncssh.SFTPName(name, attrs=attrs)

    def fsync(self, file_obj):
        if has("idle-fsync"):
            return None
        return super().fsync(file_obj)

    def locked(self, path):
        mapped = self.map_path(path)
        if has("locked") and time.monotonic() - self.closed.get(mapped, -1e9) < float(QUIRKS["locked"]):
            raise asyncssh.SFTPFailure("the file is locked")

    def rename(self, oldpath, newpath):
        self.locked(oldpath)
        if has("idle-rename") and not b"/probe-" in oldpath:
            return None
        return super().rename(oldpath, newpath)

    def posix_rename(self, oldpath, newpath):
        self.locked(oldpath)
        if has("idle-posix-rename"):
            return None
        return super().posix_rename(oldpath, newpath)

    def remove(self, path):
        if has("no-remove"):
            raise asyncssh.SFTPPermissionDenied("no deleting")
        self.locked(path)
        return super().remove(path)

    def rmdir(self, path):
        if has("no-remove"):
            raise asyncssh.SFTPPermissionDenied("no deleting")
        return super().rmdir(path)


async def main():
    options = {}
    if has("rekey"):
        options["rekey_bytes"] = int(QUIRKS["rekey"])
    for quirk, option in [("kex", "kex_algs"), ("macs", "mac_algs"), ("ciphers", "encryption_algs")]:
        if has(quirk):
            options[option] = QUIRKS[quirk].split(",")
    await asyncssh.listen(
        "127.0.0.1",
        PORT,
        server_host_keys=[f"{KEYS}/host_ed25519", f"{KEYS}/host_rsa"],
        authorized_client_keys=f"{KEYS}/authorized_keys",
        sftp_factory=Server,
        **options,
    )
    await asyncio.Event().wait()


asyncio.run(main())
