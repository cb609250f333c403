"""A real directory server (OpenLDAP's slapd) on loopback, with its own certificate authority, changed by ldapmodify."""

import datetime
import ipaddress
import os
import socket
import subprocess
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness import free_port, run

SLAPD = "/usr/sbin/slapd"
BASE = "dc=example,dc=org"
READER = f"cn=reader,{BASE}"
READER_PASSWORD = "reader may read"
ROOT = f"cn=root,{BASE}"
ROOT_PASSWORD = "root may write"

CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.4203.666.1.1 NAME 'windowsLike' SUP top AUXILIARY MAY userAccountControl )
modulepath /usr/lib/ldap
moduleload back_mdb
allow bind_anon_cred
pidfile {path}/pid
TLSCertificateFile {path}/server.pem
TLSCertificateKeyFile {path}/server.key
database mdb
suffix "{base}"
rootdn "{root}"
rootpw "{root_password}"
maxsize 67108864
dbnosync
directory {path}/db
limits dn.exact="{reader}" size.soft=500 size.hard=500 size.prtotal=unlimited
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by * none
"""


def dn(name):
    return f"uid={name},ou=people,{BASE}"


def make_ca(name):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.utcnow()
    certificate = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
                   .not_valid_after(now + datetime.timedelta(days=2))
                   .add_extension(x509.BasicConstraints(True, 0), True).sign(key, hashes.SHA256()))
    return key, certificate


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def issue(ca_key, ca, path):
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ldap")]))
                   .issuer_name(ca.subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=2))
                   .add_extension(names, False).sign(ca_key, hashes.SHA256()))
    with open(os.path.join(path, "server.pem"), "w", encoding="ascii") as file:
        file.write(pem(certificate))
    with open(os.path.join(path, "server.key"), "wb") as file:
        file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption()))


class Slapd:
    def __init__(self, path, people=(), groups=None):
        self.path, self.process = str(path), None
        self.port, self.tls_port = free_port(), free_port()
        os.makedirs(os.path.join(self.path, "db"))
        ca_key, ca = make_ca("directory CA")
        self.ca, self.other_ca = pem(ca), pem(make_ca("other CA")[1])
        issue(ca_key, ca, self.path)
        self.write("slapd.conf", CONFIGURATION.format(path=self.path, base=BASE, root=ROOT, root_password=ROOT_PASSWORD,
                                                      reader=READER))
        ldif = [f"dn: {BASE}\nobjectClass: domain\ndc: example\n",
                f"dn: {READER}\nobjectClass: person\ncn: reader\nsn: reader\nuserPassword: {READER_PASSWORD}\n"]
        ldif += [f"dn: ou={unit},{BASE}\nobjectClass: organizationalUnit\nou: {unit}\n" for unit in ("people", "groups")]
        ldif += [self.person(name) for name in people]
        for name, members in (groups or {}).items():
            lines = "".join(f"member: {dn(member)}\n" for member in members)
            ldif.append(f"dn: {self.group(name)}\nobjectClass: groupOfNames\ncn: {name}\n{lines}")
        self.write("data.ldif", "\n".join(ldif))
        run(["/usr/sbin/slapadd", "-q", "-f", self.file("slapd.conf"), "-l", self.file("data.ldif")], check=0)

    def file(self, name):
        return os.path.join(self.path, name)

    def write(self, name, text):
        with open(self.file(name), "w", encoding="utf-8") as file:
            file.write(text)

    @staticmethod
    def person(name):
        return (f"dn: {dn(name)}\nobjectClass: inetOrgPerson\nobjectClass: windowsLike\nuid: {name}\n"
                f"cn: {name} Example\nsn: Example\nuserPassword: {name}s password\n")

    @staticmethod
    def group(name):
        return f"cn={name},ou=groups,{BASE}"

    @property
    def url(self):
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_url(self):
        return f"ldaps://127.0.0.1:{self.tls_port}"

    def start(self):
        self.process = subprocess.Popen([SLAPD, "-d", "0", "-f", self.file("slapd.conf"), "-h", f"{self.url} {self.tls_url}"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        for port in (self.port, self.tls_port):
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert time.monotonic() < deadline and self.process.poll() is None, "slapd does not start"
                time.sleep(0.01)
        return self

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()

    def modify(self, ldif):
        run(["ldapmodify", "-x", "-H", self.url, "-D", ROOT, "-w", ROOT_PASSWORD], stdin=ldif.encode(), check=0)

    def add(self, name):
        self.modify(self.person(name).replace("\nobjectClass", "\nchangetype: add\nobjectClass", 1))

    def remove(self, name):
        self.modify(f"dn: {dn(name)}\nchangetype: delete\n")

    def disable(self, name):
        self.modify(f"dn: {dn(name)}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: 514\n")

    def set_members(self, group, members):
        lines = "".join(f"member: {dn(member)}\n" for member in members)
        self.modify(f"dn: {self.group(group)}\nchangetype: modify\nreplace: member\n{lines}")

    def settings(self, **changes):
        return {"serverURL": self.tls_url, "rootCerts": self.ca, "readerDN": READER, "readerPassword": READER_PASSWORD,
                "userSearchConfigs": [{"baseDN": f"ou=people,{BASE}", "usernameAttr": "uid", "fullNameAttr": "cn",
                                       "filter": "(objectClass=inetOrgPerson)"}], "syncSchedule": "", **changes}
