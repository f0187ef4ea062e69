#!/usr/bin/env python3
"""The package that deploy/package.sh makes of a build, and what `cmake --install` puts elsewhere.

    contents_test.py --build DIR
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = None
MOST_EXPOSURE = 2.0  # of `systemd-analyze security`

FILES = """
etc/hearth/hearthd.toml
usr/bin/hearth
usr/bin/hearth-model
usr/bin/hearthd
usr/lib/systemd/system/hearthd.service
usr/lib/sysusers.d/hearth.conf
usr/share/bash-completion/completions/hearth
usr/share/bash-completion/completions/hearth-model
usr/share/bash-completion/completions/hearthd
usr/share/doc/hearth/README.md
usr/share/doc/hearth/changelog.gz
usr/share/doc/hearth/copyright
usr/share/fish/vendor_completions.d/hearth-model.fish
usr/share/fish/vendor_completions.d/hearth.fish
usr/share/fish/vendor_completions.d/hearthd.fish
usr/share/hearth/catalogue/hearth.json
usr/share/hearth/proto/connection_key.cc
usr/share/hearth/proto/connection_key.h
usr/share/man/man1/hearth-model.1.gz
usr/share/man/man1/hearth.1.gz
usr/share/man/man8/hearthd.8.gz
usr/share/zsh/vendor-completions/_hearth
usr/share/zsh/vendor-completions/_hearth-model
usr/share/zsh/vendor-completions/_hearthd
""".split() + [f"usr/share/hearth/{path.relative_to(ROOT)}" for path in (ROOT / "proto").glob("hearth/v1/*.proto")] + [
    f"usr/share/doc/hearth/manual/{path.name}" for path in (ROOT / "deploy" / "manual").iterdir()] + [
    f"usr/share/hearth/monitoring/{path.name}" for path in (ROOT / "deploy" / "monitoring").iterdir()]


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)


def package(*arguments):
    return run(ROOT / "deploy" / "package.sh", *arguments)


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.work = pathlib.Path(cls.folder.name)
        result = package("--build-dir", BUILD, "--version", "1.2.3", "--out", cls.work / "out")
        if result.returncode != 0:
            raise RuntimeError(result.stderr)
        cls.deb = pathlib.Path(result.stdout.strip())
        cls.root, cls.control = cls.work / "root", cls.work / "control"
        run("dpkg-deb", "--extract", cls.deb, cls.root)
        run("dpkg-deb", "--control", cls.deb, cls.control)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def field(self, name):
        return run("dpkg-deb", "--field", self.deb, name).stdout.strip()

    def test_holds_what_it_should_and_nothing_else(self):
        self.assertEqual(files_below(self.root), sorted(FILES))
        self.assertEqual(files_below(self.control), ["conffiles", "control", "md5sums", "postinst", "postrm", "prerm"])

    def test_names_itself(self):
        self.assertRegex(self.deb.name, r"^hearth_1\.2\.3_(amd64|arm64)\.deb$")
        self.assertEqual((self.field("Package"), self.field("Version")), ("hearth", "1.2.3"))

    def test_depends_on_libraries_and_not_on_a_driver(self):
        depends = self.field("Depends")
        for library in ("libc6 (>=", "libgrpc++", "libcurl4", "libssl3", "systemd | systemd-standalone-sysusers"):
            self.assertIn(library, depends)
        self.assertNotRegex(depends, "cuda|nvidia|-dev")

    def test_belongs_to_root_and_is_readable_by_all(self):
        for line in run("dpkg-deb", "--contents", self.deb).stdout.splitlines():
            self.assertRegex(line, r"^(drwxr-xr-x|-rwxr-xr-x|-rw-r--r--) root/root ")

    def test_sums_are_those_of_the_files(self):
        sums = (self.control / "md5sums").read_text()
        self.assertEqual(len(sums.splitlines()), len(FILES) - 1)  # all but the settings, which may be changed
        self.assertEqual(run("md5sum", "--check", "--quiet", self.control / "md5sums", cwd=self.root).returncode, 0)

    def test_settings_are_kept_over_upgrades(self):
        self.assertEqual((self.control / "conffiles").read_text(), "/etc/hearth/hearthd.toml\n")
        self.assertEqual((self.root / "etc/hearth/hearthd.toml").read_text(),
                         (ROOT / "deploy/package/hearthd.toml").read_text())

    def test_scripts_of_the_package_are_sound(self):
        for name in ("postinst", "prerm", "postrm"):
            self.assertEqual(run("sh", "-n", self.control / name).stderr, "")
        result = run(self.control / "postinst", "nonsense")
        self.assertEqual((result.returncode, result.stderr), (1, "postinst: unknown argument 'nonsense'\n"))

    def test_programs_run_without_what_built_them(self):
        for name in ("hearthd", "hearth", "hearth-model"):
            program = self.root / "usr/bin" / name
            self.assertEqual(run(program, "--version").stdout.split()[0], name)
            self.assertNotRegex(run("readelf", "-d", program).stdout, "RPATH|RUNPATH")

    def test_protocol_files_are_enough_for_a_client(self):
        if not shutil.which("protoc"):
            self.skipTest("protoc is not here")
        base = self.root / "usr/share/hearth"
        result = run("protoc", "-I", base, f"--python_out={self.work}", *base.rglob("*.proto"))
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def unit(self):
        """The unit, with the program's path where it has been unpacked."""
        text = (self.root / "usr/lib/systemd/system/hearthd.service").read_text()
        self.assertIn("ExecStart=/usr/bin/hearthd --config /etc/hearth/hearthd.toml\n", text)
        file = self.work / "hearthd.service"
        file.write_text(text.replace("=/usr/bin/", f"={self.root}/usr/bin/"))
        return file

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not here")
    def test_systemd_accepts_the_unit(self):
        result = run("systemd-analyze", "verify", "--man=no", self.unit())
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not here")
    def test_the_service_is_little_exposed(self):
        output = run("systemd-analyze", "security", "--offline=true", "--no-pager", self.unit()).stdout
        exposure = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", output).group(1))
        print(f"systemd-analyze security: {exposure} (at most {MOST_EXPOSURE})")
        self.assertLessEqual(exposure, MOST_EXPOSURE)

    @unittest.skipUnless(shutil.which("lintian"), "lintian is not here")
    def test_lintian_finds_no_error(self):
        result = run("lintian", "--fail-on", "error", "--allow-root", "--suppress-tags",
                     "bogus-mail-host,bogus-mail-host-in-debian-changelog", self.deb)
        print(result.stdout.strip())
        self.assertEqual(result.returncode, 0)


class InstallTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.prefix = pathlib.Path(self.folder.name) / "opt"

    def tearDown(self):
        self.folder.cleanup()

    def install(self):
        result = run("cmake", "--install", BUILD, "--prefix", self.prefix, env={**os.environ, "DESTDIR": ""})
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_the_same_tree_lies_below_any_prefix(self):
        self.install()
        packaged = {file.removeprefix("usr/").removesuffix(".gz") for file in FILES if "/doc/" not in file or "/manual/" in file}
        self.assertEqual(set(files_below(self.prefix)), packaged)
        unit = (self.prefix / "lib/systemd/system/hearthd.service").read_text()
        self.assertIn(f"ExecStart={self.prefix}/bin/hearthd --config {self.prefix}/etc/hearth/hearthd.toml\n", unit)
        self.assertNotIn("@", unit.replace("modprobe@", "").replace("@system-service", "").replace("~@privileged @keyring", ""))

    def test_settings_that_were_changed_stay(self):
        self.install()
        settings = self.prefix / "etc/hearth/hearthd.toml"
        settings.write_text("slots = 3\n")
        self.install()
        self.assertEqual(settings.read_text(), "slots = 3\n")


class RefusalTest(unittest.TestCase):
    def assert_refused(self, reason, *arguments):
        result = package(*arguments)
        self.assertEqual(result.returncode, 1)
        self.assertIn(reason, result.stderr)
        self.assertEqual(result.stdout, "")

    def test_unknown_options_are_refused(self):
        self.assert_refused("no option --colour", "--colour", "red")
        self.assert_refused("--arch needs a value", "--arch")

    def test_unknown_architectures_are_refused(self):
        self.assert_refused("there are amd64 and arm64, not mips", "--arch", "mips")

    def test_a_folder_without_a_build_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assert_refused("build it first", "--build-dir", folder)

    def test_programs_of_another_architecture_are_refused(self):
        other = {"amd64": "arm64", "arm64": "amd64"}[run("dpkg", "--print-architecture").stdout.strip()]
        self.assertEqual(package("--build-dir", BUILD, "--arch", other).returncode, 1)

    def test_what_is_no_version_is_refused(self):
        self.assert_refused("no version", "--build-dir", BUILD, "--version", "one point two")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    BUILD = parser.parse_args().build
    for tool in ("dpkg-deb", "dpkg-shlibdeps", "readelf"):
        if not shutil.which(tool):
            print(f"skipped: {tool} is not here")
            sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
