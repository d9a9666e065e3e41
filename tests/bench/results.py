# SPDX-License-Identifier: GPL-2.0-or-later
"""Where what a benchmark has found is kept."""
import json
import os


def folder(build):
    path = os.path.join(build, "bench")
    os.makedirs(path, exist_ok=True)
    return path


def kept(where, name):
    """What is kept there: nothing at first."""
    try:
        with open(os.path.join(where, f"{name}.json"), encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return []


def keep(where, name, rows):
    path = os.path.join(where, f"{name}.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(rows, f, indent=1)
    print(f"\nas JSON: {path}")
