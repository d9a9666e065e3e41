#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Make folders with certificates, as tls-creds wants them, with certtool.

    certificates.py FOLDER [STAMP]

    FOLDER/good       of the CA, for localhost, 127.0.0.1 and ::1
    FOLDER/foreign    the same of another CA
    FOLDER/elsewhere  the server's is for another host
    FOLDER/expired    certificates that were good until 2021
    FOLDER/future     and such that will be
    FOLDER/revoked    good ones, which have been taken back
    FOLDER/wary       good ones, and a ca-crl.pem that has those on it
    FOLDER/stale      the same, with a list that was good until 2021
"""
import os
import shutil
import subprocess
import sys

HERE = ["dns_name = localhost", "ip_address = 127.0.0.1", "ip_address = ::1"]
THERE = ["dns_name = elsewhere.example", "ip_address = 192.0.2.1"]
NOW = ["activation_date = 2020-01-01 00:00:00",
       "expiration_date = 2099-01-01 00:00:00"]
PAST = ["activation_date = 2020-01-01 00:00:00",
        "expiration_date = 2021-01-01 00:00:00"]
FUTURE = ["activation_date = 2098-01-01 00:00:00",
          "expiration_date = 2099-01-01 00:00:00"]
PURPOSES = {"server": "tls_www_server", "client": "tls_www_client"}


def certtool(*args):
    subprocess.run(["certtool", *args], check=True, capture_output=True,
                   text=True)


def certtool_template(path, lines, *args):
    template = path + ".template"
    with open(template, "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")
    certtool("--template", template, "--outfile", path, *args)
    os.remove(template)


def make_key(path):
    certtool("--generate-privkey", "--key-type", "ecdsa", "--outfile", path)


class Authority:
    """A CA, and its key where no user of a folder looks for it."""

    def __init__(self, folder, name):
        self.serial = 0
        self.key = os.path.join(folder, f"{name}-key.pem")
        self.cert = os.path.join(folder, f"{name}-cert.pem")
        make_key(self.key)
        certtool_template(
            self.cert,
            [f"cn = {name}", "ca", "cert_signing_key", "crl_signing_key",
             *NOW],
            "--generate-self-signed", "--load-privkey", self.key)

    def signing(self):
        return ["--load-ca-certificate", self.cert,
                "--load-ca-privkey", self.key]

    def issue(self, folder, side, lines):
        """folder/SIDE-cert.pem and its key."""
        self.serial += 1
        path = os.path.join(folder, side)
        make_key(f"{path}-key.pem")
        certtool_template(
            f"{path}-cert.pem",
            [f"cn = ferry-{side}", f"serial = {self.serial}",
             "signing_key", PURPOSES[side], *lines],
            "--generate-certificate", "--load-privkey", f"{path}-key.pem",
            *self.signing())

    def folder(self, path, names=HERE, dates=NOW):
        os.mkdir(path)
        shutil.copy(self.cert, os.path.join(path, "ca-cert.pem"))
        for side in PURPOSES:
            self.issue(path, side, [*names, *dates])

    def revoke(self, folder, certificates, until="2099"):
        """Write folder/ca-crl.pem, which is good until the end of a year."""
        bundle = os.path.join(folder, "bundle")
        with open(bundle, "wb") as out:
            for path in certificates:
                with open(path, "rb") as f:
                    out.write(f.read())
        certtool_template(
            os.path.join(folder, "ca-crl.pem"),
            ["crl_this_update_date = 2020-01-01 00:00:00",
             f"crl_next_update_date = {until}-01-01 00:00:00", "crl_number = 1"],
            "--generate-crl", "--load-certificate", bundle, *self.signing())
        os.remove(bundle)


def make(top):
    shutil.rmtree(top, ignore_errors=True)
    os.mkdir(top)

    def path(*names):
        return os.path.join(top, *names)

    ca, other = Authority(top, "ferry-ca"), Authority(top, "other-ca")
    ca.folder(path("good"))
    other.folder(path("foreign"))
    ca.folder(path("elsewhere"), THERE)
    ca.folder(path("expired"), dates=PAST)
    ca.folder(path("future"), dates=FUTURE)
    ca.folder(path("revoked"))
    taken_back = [path("revoked", f"{side}-cert.pem") for side in PURPOSES]
    ca.folder(path("wary"))
    ca.revoke(path("wary"), taken_back)
    ca.folder(path("stale"))
    ca.revoke(path("stale"), taken_back, until="2021")


if __name__ == "__main__":
    make(sys.argv[1])
    for stamp in sys.argv[2:]:
        with open(stamp, "wb"):
            pass
