#!/usr/bin/env bash
# Builds the Debian package hearth_VERSION_ARCH.deb: daemon with its service, client, tool, protocol files. One package is
# enough: where the build found a CUDA toolkit the programs use NVIDIA's cards, and run without a driver all the same.
# Usage: deploy/package.sh [--arch ARCH] [--build-dir DIR] [--version VERSION] [--out DIR]
#   --arch       amd64 or arm64 (cross-built, see deploy/cmake/arm64.cmake); default: this machine's
#   --build-dir  a release build that is there, in place of a new one in build/package-ARCH
#   --version    default: the project's
#   --out        where the package goes; default: build/packages
# DEBFULLNAME and DEBEMAIL say who is responsible for the package, SOURCE_DATE_EPOCH of when its files are.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "deploy/package.sh: $*" >&2
  exit 1
}

arch=$(dpkg --print-architecture)
build_dir="" version="" out=build/packages
while [ $# -gt 0 ]; do
  [ $# -gt 1 ] || fail "$1 needs a value, or is no option; see the head of this script"
  case "$1" in
    --arch) arch=$2 ;;
    --build-dir) build_dir=$2 ;;
    --version) version=$2 ;;
    --out) out=$2 ;;
    *) fail "no option $1; see the head of this script" ;;
  esac
  shift 2
done

toolchain=() strip=strip machine="Advanced Micro Devices X86-64"
case "$arch" in
  amd64) ;;
  arm64) machine=AArch64 ;;
  *) fail "--arch: there are amd64 and arm64, not $arch" ;;
esac
if [ "$arch" != "$(dpkg --print-architecture)" ]; then
  [ "$arch" = arm64 ] || fail "--arch: $arch is built on $arch alone"
  toolchain=(-D CMAKE_TOOLCHAIN_FILE=deploy/cmake/arm64.cmake)
  strip=aarch64-linux-gnu-strip
fi

if [ -z "$build_dir" ]; then
  build_dir=build/package-$arch
  {
    [ ${#toolchain[@]} -gt 0 ] || deploy/install-dependencies.sh
    cmake -S . -B "$build_dir" -G Ninja -D CMAKE_BUILD_TYPE=Release -D HEARTH_BUILD_TESTS=OFF "${toolchain[@]}"
    cmake --build "$build_dir" --target hearthd hearth hearth-model
  } >&2 # what this script prints is the package's path
fi
for program in hearthd hearth hearth-model; do
  [ -x "$build_dir/bin/$program" ] || fail "there is no $build_dir/bin/$program; build it first"
  readelf -h "$build_dir/bin/$program" | grep -q "$machine" || fail "$build_dir/bin/$program is not for $arch"
done
[ -n "$version" ] || version=$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$build_dir/CMakeCache.txt")
dpkg --validate-version "$version" || fail "--version: $version is no version of a package"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/debian/hearth  # where the tools of Debian expect it
umask 022
DESTDIR=$root cmake --install "$build_dir" --prefix /usr >"$work/install.log" || { cat "$work/install.log" >&2; fail "cmake --install failed"; }
"$strip" --strip-unneeded --remove-section=.comment "$root"/usr/bin/*

commit=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
maintainer="${DEBFULLNAME:-The developers of Hearth} <${DEBEMAIL:-hearth@$(hostname)}>"
cuda=no
readelf -SW "$root/usr/bin/hearthd" | grep -q '\.nv_fatbin' && cuda=yes

doc=$root/usr/share/doc/hearth
mkdir -p "$doc"
cp deploy/package/copyright "$doc"
[ "$cuda" = no ] || cat deploy/package/copyright.cuda >>"$doc/copyright"
cp README.md "$doc"
printf 'hearth (%s) unstable; urgency=medium\n\n  * Of commit %s.\n\n -- %s  %s\n' "$version" "$commit" "$maintainer" \
  "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" >"$doc/changelog"
case "$version" in *-*) mv "$doc/changelog" "$doc/changelog.Debian" ;; esac
gzip -9n "$doc"/changelog* "$root"/usr/share/man/man*/*

# What the programs' libraries are called in Debian, and from which version on they have what is used of them.
mkdir "$root/DEBIAN"
printf 'Source: hearth\n\nPackage: hearth\nArchitecture: any\n' >"$work/debian/control"
depends=$(cd "$work" && DEB_HOST_ARCH=$arch dpkg-shlibdeps -O debian/hearth/usr/bin/* | sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || fail "dpkg-shlibdeps found no libraries"

provides="" told="It uses processors alone."
if [ "$cuda" = yes ]; then
  provides="Provides: hearth-cuda"
  told="It uses NVIDIA graphics cards where their driver is."
fi
sed -e "s|@VERSION@|$version|; s|@ARCHITECTURE@|$arch|; s|@SIZE@|$(du -k -s --apparent-size "$root" | cut -f1)|" \
  -e "s|@DEPENDS@|${depends//|/\\|}, systemd \| systemd-standalone-sysusers|; s|@MAINTAINER@|$maintainer|" \
  -e "s|^@PROVIDES@|$provides|; s|@CUDA@|$told|" -e '/^$/d' deploy/package/control.in >"$root/DEBIAN/control"
echo /etc/hearth/hearthd.toml >"$root/DEBIAN/conffiles"
install -m 755 deploy/package/postinst deploy/package/prerm deploy/package/postrm "$root/DEBIAN"
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$root" -print0 | xargs -0 touch --no-dereference --date="@$SOURCE_DATE_EPOCH"

mkdir -p "$out"
dpkg-deb --root-owner-group --build "$root" "$out/hearth_${version}_$arch.deb" >/dev/null
echo "$out/hearth_${version}_$arch.deb"
