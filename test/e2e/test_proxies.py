"""Proxies between an operator and a server, and what they get to see."""

import contextlib
import socket
import threading

import pytest

from harness import dtr

HOST = "registry.example"  # is asked of the proxy, never of a name service
NO_NAME = "x" * 64 + ".example"  # no label of a name is so long: found nowhere without asking anybody
GIVEN = ["--ucp-username", "admin", "--ucp-password", "s3cret-of-admin", "--ucp-insecure-tls"]


@contextlib.contextmanager
def proxy():
    """Keeps what it is sent, and answers that it will not."""
    seen = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(5)
                        data = b""
                        with contextlib.suppress(OSError):
                            while b"\r\n\r\n" not in data and (piece := connection.recv(65536)):
                                data += piece
                        seen.append(data)
                        with contextlib.suppress(OSError):
                            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_proxy_sees_a_tunnel_and_nothing_in_it(variable):
    with proxy() as (url, seen):
        done = dtr("status", "--ucp-url", HOST, *GIVEN, env={variable: url})
    assert done.code == 3, done
    assert len(seen) == 1 and seen[0].startswith(f"CONNECT {HOST}:443 ".encode()), seen
    assert b"uthorization" not in seen[0] and b"s3cret" not in seen[0]


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy", "ALL_PROXY"])
def test_no_password_goes_through_a_proxy_in_clear(variable):
    with proxy() as (url, seen):
        done = dtr("status", "--ucp-url", f"http://{HOST}", *GIVEN, env={variable: url})
    assert done.code == 10 and "proxy" in done.err and "NO_PROXY" in done.err, done
    assert seen == []


def test_loopback_and_exceptions_go_through_no_proxy(space):
    server = space.server("a").start()
    with proxy() as (url, seen):
        every = {name: url for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")}
        dtr("status", *server.cli_auth(), env=every, check=0)
        plain = dtr("status", "--ucp-url", server.url, *server.cli_auth()[4:], env=every, check=0)
        assert "unencrypted" not in plain.err, "it does not leave the machine"
        for excepted in ("*", NO_NAME, ".example", f"other, {NO_NAME}:443"):
            done = dtr("status", "--ucp-url", NO_NAME, *GIVEN, env={**every, "NO_PROXY": excepted})
            assert done.code == 3, done
        assert seen == []
        dtr("status", "--ucp-url", HOST, *GIVEN, env={**every, "no_proxy": "example.org"})
        assert len(seen) == 1


def test_a_password_over_plain_http_is_warned_about():
    done = dtr("status", "--ucp-url", f"http://{NO_NAME}:1", *GIVEN)
    assert done.code == 3 and done.err.count("unencrypted") == 1, done
    assert "s3cret" not in done.err
