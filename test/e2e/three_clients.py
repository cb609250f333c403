"""skopeo, podman and docker as people with rights: what each lets them do."""

from engine import Engine, podman_environment
from harness import tool


class ThreeClients:
    """Tries pull, push and create of acme/app. Ends its engine at the end of a `with`."""

    NAMES = ("skopeo", "podman", "docker")

    def __init__(self, space):
        self.space = space
        self.layout = f"oci:{space.file('layout')}:v1"
        self.podman_env = podman_environment(space)
        self.engine = Engine(space)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.engine.close()

    def load(self, registry, creds):
        """acme/app:v1 into each of them, as somebody who may."""
        archive = self.space.file("image.tar")
        tool("skopeo", "copy", "--src-tls-verify=false", "--src-creds", creds, f"docker://{registry.host}/acme/app:v1", self.layout)
        tool("skopeo", "copy", self.layout, f"docker-archive:{archive}:local/app:v1")
        tool("podman", "load", "-q", "-i", archive, "--signature-policy", self.space.file("policy.json"), env=self.podman_env)
        self.engine("load", "-i", archive)

    def rights(self, registry, passwords):
        """{(client, who, what): whether it is allowed}"""
        return {(client, who, what): answer for client in self.NAMES for who, password in passwords.items()
                for what, answer in getattr(self, client)(registry.host, who, password)}

    @staticmethod
    def targets(host, who, client):
        return ("push", f"{host}/acme/app:{who}-{client}"), ("create", f"{host}/acme/new-{who}-{client}:v1")

    def skopeo(self, host, who, password):
        creds = f"{who}:{password}"
        yield "pull", goes("skopeo", "inspect", "--tls-verify=false", "--creds", creds, f"docker://{host}/acme/app:v1")
        for what, target in self.targets(host, who, "skopeo"):
            yield what, goes("skopeo", "copy", "--dest-tls-verify=false", "--dest-creds", creds, self.layout, f"docker://{target}")

    def podman(self, host, who, password):
        given = ["-q", "--tls-verify=false", "--creds", f"{who}:{password}"]
        policy = ["--signature-policy", self.space.file("policy.json")]
        yield "pull", goes("podman", "pull", *given, *policy, f"{host}/acme/app:v1", env=self.podman_env)
        for what, target in self.targets(host, who, "podman"):
            yield what, goes("podman", "push", *given, "docker.io/local/app:v1", f"docker://{target}", env=self.podman_env)

    def docker(self, host, who, password):
        self.engine("login", "-u", who, "--password-stdin", host, stdin=password.encode())
        yield "pull", self.engine("pull", f"{host}/acme/app:v1", check=None).code == 0
        for what, target in self.targets(host, who, "docker"):
            self.engine("tag", "local/app:v1", target)
            yield what, self.engine("push", target, check=None).code == 0


def goes(*args, **options):
    return tool(*args, check=None, **options).code == 0
