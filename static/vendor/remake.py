#!/usr/bin/env python3
"""Fetch the third-party files of this folder again, and check them against the hashes below.

    python static/vendor/remake.py           # npm pack each package, write the files, check them, write README.md
    python static/vendor/remake.py --check   # only compare what lies here with the hashes; no network

A new version: change it below, run with --print, put the new hashes here, look at the diff, run the browser tests.
Needs npm for the packages and the project's own environment for htmx (the django-htmx wheel carries it).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE_MAP = re.compile(rb"\n?(//|/\*)# sourceMappingURL=[^\n]*\n?$")


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of ours: where it comes from, and what it must be."""

    name: str
    package: str
    version: str
    member: str
    licence: str
    sha256: str


FILES = (
    File(
        name="tabler.min.css",
        package="@tabler/core",
        version="1.6.1",
        member="dist/css/tabler.min.css",
        licence="MIT",
        sha256="e049eec3a5830530d80ff78676412c7e68f64b02bc9859cb0ca1710d24a60c58",
    ),
    File(
        name="idiomorph-ext.min.js",
        package="idiomorph",
        version="0.8.0",
        member="dist/idiomorph-ext.min.js",
        licence="0BSD",
        sha256="5811b9a7eda14878b7dab4378bf60432e1bb6f11fcfb970cc26540642650181e",
    ),
    File(
        name="markdown-it.js",
        package="markdown-it",
        version="15.0.3",
        member="dist/browser/markdown-it.esm.min.mjs",
        licence="MIT",
        sha256="66743187094a0f1e03b0ebe3e9f21ff7f026a9740325cbe81e19808d29610d7e",
    ),
    File(
        name="dompurify.js",
        package="dompurify",
        version="3.4.18",
        member="dist/purify.es.mjs",
        licence="Apache-2.0 or MPL-2.0",
        sha256="0ab024c7378bb0b42f200eca5573c750e107ab89feee7720cbaba89e68d7c3ba",
    ),
    File(
        name="fonts/inter-latin-wght-normal.woff2",
        package="@fontsource-variable/inter",
        version="5.3.0",
        member="files/inter-latin-wght-normal.woff2",
        licence="OFL-1.1",
        sha256="3100e775e8616cd2611beecfa23a4263d7037586789b43f035236a2e6fbd4c62",
    ),
    File(
        name="fonts/jetbrains-mono-latin-wght-normal.woff2",
        package="@fontsource-variable/jetbrains-mono",
        version="5.3.0",
        member="files/jetbrains-mono-latin-wght-normal.woff2",
        licence="OFL-1.1",
        sha256="18be452724bfdc236c074ca94a249a7f41a86752c7d04ab258ce9ed5651f6a7e",
    ),
)

#: From the installed wheel, at the version that the lock names; `member` is inside django_htmx/static/django_htmx.
WHEEL = "django-htmx"
WHEEL_FILES = (
    File(
        name="htmx.min.js",
        package=WHEEL,
        version="1.29",
        member="htmx-2.min.js",
        licence="0BSD",
        sha256="71ea67185bfa8c98c39d31717c6fce5d852370fcdfd129db4543774d3145c0de",
    ),
    File(
        name="htmx-ws.min.js",
        package=WHEEL,
        version="1.29",
        member="ext/hx-ws-2.min.js",
        licence="0BSD",
        sha256="896afc2936ded7a56373edf16ce75b0fe9bf49c03d1f55aee9baa94cb87c8d3e",
    ),
)

#: Built here, from the packages that codemirror/package-lock.json pins with their hashes.
BUNDLE = File(
    name="codemirror.js",
    package="@codemirror/view and others",
    version="6.43.15",
    member="codemirror/entry.js",
    licence="MIT",
    sha256="966687fc77427f1a24997486a255feb63b416b0cccc954dc544f32010919e60c",
)
BUNDLE_SOURCES = ("entry.js", "package.json", "package-lock.json")

ICONS_PACKAGE = "@tabler/icons"
ICONS_VERSION = "3.51.0"
ICONS_SHA256 = "37b8698a7a6efa999d8705b4e301cea5a1781af7479d2e532b236f3fe17a4d66"
#: Outline icons of the sprite; `{% icon "name" %}` draws one.
ICONS = """
activity alert-circle alert-triangle archive arrow-back-up arrow-down arrow-left arrow-right arrow-up arrows-diff at bell bolt
brain calendar check checklist chevron-down chevron-left chevron-right chevron-up circle-dot clock code columns-3 copy database
database-import device-desktop dots download external-link eye eye-off file-text filter fold folder folder-open git-fork git-merge
git-pull-request hand-stop help history home inbox info-circle key keyboard layout-sidebar layout-sidebar-right link lock
lock-open login logout maximize message message-plus messages minus moon paperclip pencil photo player-pause player-play
player-stop plug-connected plug-connected-x plus refresh robot scissors search send server settings share shield-check
shield-lock sort-descending sparkles stack-2 star stethoscope sun sun-moon tag terminal-2 test-pipe thumb-up tool trash upload
user users versions world x
""".split()  # noqa: SIM905  # a list of words reads better than a hundred quoted lines


def fetch(package: str, version: str, folder: Path) -> tarfile.TarFile:
    """The published archive of a package."""
    made = subprocess.run(
        ["npm", "pack", "--silent", "--pack-destination", str(folder), f"{package}@{version}"],
        check=True,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    return tarfile.open(folder / made.stdout.split()[-1])


def make_bundle(folder: Path) -> bytes:
    """One module of what codemirror/entry.js names."""
    for name in BUNDLE_SOURCES:
        shutil.copy(HERE / "codemirror" / name, folder / name)
    subprocess.run(
        ["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"], check=True, cwd=folder
    )
    options = ["--bundle", "--minify", "--format=esm", "--target=es2022", "--legal-comments=none"]
    made = subprocess.run(
        [str(folder / "node_modules/.bin/esbuild"), "entry.js", *options],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    return made.stdout


def read_member(archive: tarfile.TarFile, member: str) -> bytes:
    found = archive.extractfile(f"package/{member}")
    assert found is not None, f"{member} is not a file"
    return found.read()


def make_sprite(archive: tarfile.TarFile) -> bytes:
    """All icons as symbols on a 24 px box, without the frame that Tabler draws invisibly."""
    lines = ['<svg xmlns="http://www.w3.org/2000/svg">']
    for name in ICONS:
        text = read_member(archive, f"icons/outline/{name}.svg").decode()
        inner = text.partition(">")[2].rpartition("</svg>")[0]
        shapes = [line.strip() for line in inner.splitlines() if line.strip() and 'stroke="none"' not in line]
        lines.append(f'  <symbol id="{name}" viewBox="0 0 24 24">{"".join(shapes)}</symbol>')
    return ("\n".join([*lines, "</svg>"]) + "\n").encode()


def remake() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for file in FILES:
            with fetch(file.package, file.version, folder) as archive:
                content = SOURCE_MAP.sub(b"", read_member(archive, file.member))
            (HERE / file.name).parent.mkdir(exist_ok=True)
            (HERE / file.name).write_bytes(content)
        with fetch(ICONS_PACKAGE, ICONS_VERSION, folder) as archive:
            (HERE / "icons.svg").write_bytes(make_sprite(archive))
    with tempfile.TemporaryDirectory() as place:
        (HERE / BUNDLE.name).write_bytes(make_bundle(Path(place)))
    wheel = importlib.metadata.distribution(WHEEL)
    for file in WHEEL_FILES:
        if not wheel.version.startswith(file.version):
            sys.exit(f"{WHEEL} {wheel.version} is installed; {file.version} is pinned here.")
        source = Path(str(wheel.locate_file(f"django_htmx/static/django_htmx/{file.member}")))
        (HERE / file.name).write_bytes(SOURCE_MAP.sub(b"", source.read_bytes()))


def hashes() -> dict[str, tuple[str, str]]:
    """For each file its hash as pinned, and as it is."""
    pinned = {file.name: file.sha256 for file in (*FILES, *WHEEL_FILES, BUNDLE)} | {"icons.svg": ICONS_SHA256}
    return {name: (wanted, hashlib.sha256((HERE / name).read_bytes()).hexdigest()) for name, wanted in pinned.items()}


def readme() -> str:
    """The table of what lies here."""
    rows = [(file.name, file.package, file.version, file.member, file.licence) for file in (*FILES, *WHEEL_FILES, BUNDLE)]
    rows.append(("icons.svg", ICONS_PACKAGE, ICONS_VERSION, f"{len(ICONS)} of icons/outline", "MIT"))
    lines = [
        "# Vendored files",
        "",
        "Written by `remake.py`, which pins and checks them. Do not edit by hand.",
        "",
        "| File | Package | Version | Taken from | Licence | SHA-256 |",
        "|---|---|---|---|---|---|",
    ]
    found = hashes()
    for name, package, version, member, licence in sorted(rows):
        lines.append(f"| `{name}` | `{package}` | {version} | `{member}` | {licence} | `{found[name][1][:16]}…` |")
    lines += [
        "",
        "Source map lines are cut off. `htmx.min.js` is version 2 and a classic script, as are its extensions; `markdown-it.js` and",
        "`dompurify.js` are ES modules. The sprite serves `{% icon %}`. `codemirror.js` is built by esbuild from what",
        "`codemirror/package-lock.json` pins; its licence lies beside that.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("--print", action="store_true", help="fetch, and print the hashes to pin")
    options = parser.parse_args()
    if not options.check:
        remake()
        (HERE / "README.md").write_text(readme())
    wrong = {name: found for name, (wanted, found) in hashes().items() if found != wanted}
    for name, found in wrong.items():
        sys.stderr.write(f"{name} {found}\n")
    if wrong and not options.print:
        sys.exit("These files are not what is pinned.")


if __name__ == "__main__":
    main()
