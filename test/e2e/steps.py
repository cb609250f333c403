"""Steps of the story that several files tell."""

import os

from harness import dtr, tool


def entries(archive):
    """Names as tar prints them, without the prefix directory."""
    return [line.split("/", 1)[1] for line in tool("tar", "-tf", archive).text.splitlines()]


def skopeo_push(server, layout, where, *flags):
    tool("skopeo", "copy", *flags, "--dest-tls-verify=false", "--dest-creds", server.creds, f"oci:{layout}",
         f"docker://{server.host}/{where}")


def skopeo_pull(server, where, layout, *flags, creds=None):
    tool("skopeo", "copy", *flags, "--src-tls-verify=false", "--src-creds", creds or server.creds,
         f"docker://{server.host}/{where}", f"oci:{layout}")


def restore(target, archive, *args, check=0, **options):
    with open(archive, "rb") as stdin:
        return dtr("restore", "--data-dir", target, *args, stdin=stdin, check=check, **options)


def is_untouched(path):
    """Nothing went live there."""
    return not os.path.exists(os.path.join(path, "config", "CURRENT"))
