# SPDX-License-Identifier: GPL-2.0-or-later
"""Ferry 0.1, built from this repository's own history."""
import os
import shutil
import subprocess

import debian

VERSION = "0.1"
# The last commit before what CHANGELOG.md has of 0.2 began.
COMMIT = "8a775e0b2802acb8bbe233bc7fd519e2f2e56d69"
PROGRAMS = ("vmm/ferry-vm", "tools/relay/ferry-relay")


def unpack(root, folder):
    """The commit's files, into folder, where an attempt may have failed."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    archive = os.path.join(folder, "archive.tar")
    debian.run("git", "-C", root, "archive", "-o", archive, COMMIT)
    debian.run("tar", "-x", "-f", archive, "-C", folder)


def older_ferry(root, cache):
    """A folder with its programs as in a build folder, which is made the first
    time; debian.Unavailable where there is no history, as in a tar file.  That
    it does not build any more is an error."""
    folder = os.path.join(os.path.abspath(cache), "ferry-" + VERSION)
    build = os.path.join(folder, "build")
    with debian.locked(os.path.join(os.path.abspath(cache), "ferry-lock")):
        if not os.path.isdir(folder):
            unpack(root, folder + ".new")
            os.rename(folder + ".new", folder)
        if not os.path.exists(os.path.join(build, "build.ninja")):
            subprocess.run(["meson", "setup", "build"], cwd=folder, check=True,
                           stdout=subprocess.DEVNULL)
        subprocess.run(["ninja", "-C", "build", *PROGRAMS], cwd=folder,
                       check=True, stdout=subprocess.DEVNULL)
    return build
