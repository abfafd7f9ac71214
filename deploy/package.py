"""
`make deb`: the Debian package, made of this checkout and the libraries of requirements.txt.

The package has a virtual environment of its own for the distribution's Python, which is also the one that
Kamailio embeds.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Final

from deploy import manpages

ROOT: Final = Path(__file__).resolve().parents[1]
PYTHON: Final = "/usr/bin/python3"
HOME: Final = Path("opt/omapush")
VENV: Final = HOME / "venv"
CODE: Final = ("omapush", "kemi", "schema")
UNITS: Final = Path("usr/lib/systemd/system")
SHELLS: Final = {
    "bash": "usr/share/bash-completion/completions/omapush",
    "zsh": "usr/share/zsh/vendor-completions/_omapush",
    "fish": "usr/share/fish/vendor_completions.d/omapush.fish",
}
_HERE: Final = ROOT / "deploy"
_SCRIPTS: Final = ("postinst", "prerm", "postrm")
_VENV_SETTINGS: Final = ("home", "include-system-site-packages", "version")
"Of pyvenv.cfg; the others name where it was made."
_LIBRARY_EPOCH: Final = 315_532_800
"1980-01-01: the time of all files of libraries, whenever they were fetched."


def main(argv: Sequence[str] | None = None) -> int:
    """Build the package; prints where it is."""
    parser = argparse.ArgumentParser(prog="package", description="Build the Debian package.")
    parser.add_argument("--version", default=project_version(), help="default: that of pyproject.toml")
    parser.add_argument("--into", type=Path, default=ROOT / "build", help="folder for the package")
    arguments = parser.parse_args(argv)
    tree = arguments.into / "deb"
    shutil.rmtree(tree, ignore_errors=True)
    lay_out(tree, arguments.version)
    print(pack(tree, arguments.version, arguments.into))
    return 0


def project_version() -> str:
    """Return the version of this checkout."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def depends() -> list[str]:
    """Return the names of the packages that ours needs."""
    control = (_HERE / "debian" / "control").read_text(encoding="utf-8")
    line = next(line for line in control.splitlines() if line.startswith("Depends:"))
    return sorted({one.split()[0] for one in line.removeprefix("Depends:").split(",")})


def lay_out(tree: Path, version: str) -> None:
    """Lay all files of the package out below `tree`, as they will be below /."""
    for name in CODE:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tree / HOME / name, ignore=ignored)
    _copy(ROOT / "kamailio.cfg", tree / HOME / "kamailio.cfg")
    (tree / HOME / "VERSION").write_text(f"{version}\n", encoding="utf-8")
    shutil.copytree(_libraries(), tree / VENV, symlinks=True)
    _copy(_HERE / "debian" / "omapush", tree / "usr/bin/omapush", mode=0o755)
    _copy(_HERE / "debian" / "omapush.toml", tree / "etc/omapush/omapush.toml")
    _copy(_HERE / "debian" / "60-omapush.conf", tree / "usr/lib/sysctl.d/60-omapush.conf")
    for unit in sorted((_HERE / "systemd").iterdir()):
        _copy(unit, tree / UNITS / unit.name)
    _documents(tree, version)
    _completions(tree)
    _settle(tree, _epoch())
    for name in CODE:
        _compile(tree / HOME / name, HOME / name)


def pack(tree: Path, version: str, into: Path) -> Path:
    """Return the package made of what is laid out; the same commit gives the same bytes."""
    control = tree / "DEBIAN"
    shutil.rmtree(control, ignore_errors=True)
    control.mkdir(parents=True)
    for name in _SCRIPTS:
        _copy(_HERE / "debian" / name, control / name, mode=0o755)
    _copy(_HERE / "debian" / "conffiles", control / "conffiles")
    kilobytes = sum(file.lstat().st_size for file in tree.rglob("*")) // 1024
    architecture = _output("dpkg", "--print-architecture")
    values = {"VERSION": version, "ARCHITECTURE": architecture, "SIZE": str(kilobytes)}
    (control / "control").write_text(_filled(_HERE / "debian" / "control", values), encoding="utf-8")
    package = into / f"omapush_{version}_{architecture}.deb"
    epoch = _epoch()
    _settle(control, epoch)
    build = ["dpkg-deb", "--root-owner-group", "-Zzstd", "--build", str(tree), str(package)]
    _run(build, {"SOURCE_DATE_EPOCH": str(epoch)})
    return package


def _libraries() -> Path:
    """Return the virtual environment; made once for each state of requirements.txt, and kept."""
    required = ROOT / "requirements.txt"
    kept = ROOT / "build" / f"venv-{hashlib.sha256(required.read_bytes()).hexdigest()[:16]}"
    if kept.exists():
        return kept
    venv = kept.with_suffix(".new")
    shutil.rmtree(venv, ignore_errors=True)
    _run([PYTHON, "-m", "venv", "--without-pip", "--symlinks", str(venv)])
    wheels = ["--only-binary", ":all:", "--no-compile", "--no-warn-script-location"]
    pip = [str(ROOT / ".venv/bin/python"), "-m", "pip", "--python", str(venv / "bin/python")]
    install = [*pip, "install", "-qq", "--disable-pip-version-check"]
    _run([*install, *wheels, "--require-hashes", "-r", str(required)])
    _make_movable(venv)
    _settle(venv, _LIBRARY_EPOCH)
    _compile(venv, VENV)
    venv.rename(kept)
    return kept


def _make_movable(venv: Path) -> None:
    """Nothing in it names the folder in which it was made."""
    for program in (venv / "bin").iterdir():
        if program.name not in ("python", "python3"):
            program.unlink()
    settings = (venv / "pyvenv.cfg").read_text().splitlines()
    known = [line for line in settings if line.partition(" ")[0] in _VENV_SETTINGS]
    (venv / "pyvenv.cfg").write_text("\n".join([*known, ""]))
    shutil.rmtree(venv / "include")
    packages = next((venv / "lib").glob("python3.*")) / "site-packages"
    (packages / "omapush.pth").write_text(f"/{HOME}\n")


def _compile(folder: Path, installed: Path) -> None:
    """Compile for the place where it will be: nobody but root may write there later."""
    command = [PYTHON, "-m", "compileall", "-q", "-j", "2", "--invalidation-mode", "timestamp"]
    _run([*command, "-s", str(folder), "-p", f"/{installed}", str(folder)])


def _documents(tree: Path, version: str) -> None:
    share = tree / "usr/share"
    documents = share / "doc/omapush"
    licence = "".join(f" {line or '.'}\n" for line in (ROOT / "LICENSE").read_text().strip().splitlines()[4:])
    documents.mkdir(parents=True)
    text = _filled(_HERE / "debian" / "copyright", {"LICENSE": licence.rstrip()})
    (documents / "copyright").write_text(text, encoding="utf-8")
    _copy(ROOT / "CHANGELOG.md", documents / "CHANGELOG.md")
    changelog = _filled(_HERE / "debian" / "changelog", {"VERSION": version, "DATE": formatdate(_epoch())})
    (documents / "changelog").write_text(changelog, encoding="utf-8")
    _copy(ROOT / "README.md", documents / "README.md")
    for page in sorted((ROOT / "docs").glob("*.md")):
        _copy(page, documents / "docs" / page.name)
    manpages.write(share / "man", version)
    for file in [documents / "changelog", documents / "CHANGELOG.md", *(share / "man").rglob("*.[15]")]:
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
        file.unlink()


def _completions(tree: Path) -> None:
    from typer._completion_shared import get_completion_script

    for shell, name in SHELLS.items():
        script = get_completion_script(prog_name="omapush", complete_var="_OMAPUSH_COMPLETE", shell=shell)
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(f"{script}\n", encoding="utf-8")


def _settle(tree: Path, epoch: int) -> None:
    """Same permissions and times wherever it is built: compiled files name the time of their source."""
    for path in tree.rglob("*"):
        if path.is_symlink() or tree / VENV in path.parents:
            continue
        if path.is_dir():
            path.chmod(0o755)
        else:
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (epoch, epoch))


def _epoch() -> int:
    """Seconds: when the last commit was made, or when the project file was last changed."""
    try:
        return int(_output("git", "-C", str(ROOT), "log", "-1", "--format=%ct"))
    except (subprocess.CalledProcessError, FileNotFoundError, ValueError):
        return int((ROOT / "pyproject.toml").stat().st_mtime)


def _filled(template: Path, values: Mapping[str, str]) -> str:
    text = template.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _copy(source: Path, target: Path, mode: int = 0o644) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    subprocess.run(command, check=True, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    raise SystemExit(main())
