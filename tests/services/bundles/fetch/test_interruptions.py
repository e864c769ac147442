"""A full disk, a second fetch, Ctrl-C, a hub that is away: what is said, and how the next fetch goes on."""

from __future__ import annotations

import errno
import fcntl
import shutil

from services.bundles.fetch import hub as ours


def test_no_room_is_said_before_anything_is_fetched(ip2p, hub, command, monkeypatch, capsys):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    assert command(ip2p) == 1
    assert "no room:" in capsys.readouterr().err and not hub.downloads


def test_a_disk_that_fills_up_is_said_and_the_rest_comes_later(ip2p, hub, command, monkeypatch, capsys):
    write = ours._Bounded.write

    def full(self, data):
        if self.tell() > 100_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(ours._Bounded, "write", full)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 14)
    assert command(ip2p) == 1
    assert "could not be kept in" in (said := capsys.readouterr().err) and "No space left" in said
    monkeypatch.setattr(ours._Bounded, "write", write)
    assert command(ip2p) == 0
    assert any(request.start > 100_000 for request in hub.downloads), "it went on where the disk was full"


def test_two_fetches_into_one_folder_do_not_mix(ip2p, hub, command, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    with (tmp_path / "full" / ".fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert command(ip2p) == 1
    assert "another fetch works in" in capsys.readouterr().err and not hub.downloads
    assert command(ip2p) == 0


def test_a_fetch_that_is_interrupted_ends_quietly_and_goes_on_later(
    ip2p, hub, command, monkeypatch, tmp_path, capsys
):
    write = ours._Bounded.write

    def interrupted(self, data):
        if self.tell() > 100_000:
            raise KeyboardInterrupt
        return write(self, data)

    monkeypatch.setattr(ours._Bounded, "write", interrupted)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 14)
    assert command(ip2p) == 130
    assert "run it again to go on" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "full").iterdir()] == [".fetch.lock"]
    monkeypatch.setattr(ours._Bounded, "write", write)
    assert command(ip2p) == 0 and any(request.start > 100_000 for request in hub.downloads)


def test_a_hub_that_is_away_is_said(ip2p, hub, command, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    hub.close()
    assert command(ip2p) == 1
    assert "cannot be reached" in capsys.readouterr().err
