#!/bin/sh
# Build the Kubernetes binaries from Debian's source package `kubernetes`, which is the complete, vendored upstream tree.
# Used when the vendor's download site cannot be reached. Needs root (build packages), about 4 GB in WORK and 10 minutes on 2 cores.
#
#   kubernetes-from-debian.sh VERSION WORK OUT
#
# VERSION  what the binaries say they are, for instance v1.20.2; the source must be of the same minor release
# WORK     scratch directory: source tree and Go build cache; kept, so that an interrupted build goes on where it was
# OUT      receives kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl and SHA256SUMS, last
#
# Progress: lines "step K/N what". Everything else is the tools' own output.
set -eu
version=$1 work=$2 out=$3
programs="kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl"
steps=11 step=0
say() { step=$((step + 1)); echo "step $step/$steps $*"; }

minor=${version#v}; major=${minor%%.*}; minor=${minor#*.}; minor=${minor%%.*}
mkdir -p "$work" "$out"
export DEBIAN_FRONTEND=noninteractive

say "install the Go toolchain"
apt-get -qq install -y --no-install-recommends golang-1.19-go golang-github-modern-go-reflect2-dev rsync jq make git dpkg-dev >/dev/null

say "fetch the source package"
tree=$work/gopath/src/k8s.io/kubernetes
if [ ! -e "$work/source.done" ]; then
  # A private copy of the package sources with deb-src switched on: the machine's own configuration is not touched.
  mkdir -p "$work/apt/lists/partial" "$work/apt/sources.list.d"
  cat /etc/apt/sources.list 2>/dev/null | sed -n 's/^deb /deb-src /p' >"$work/apt/sources.list"
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -e "$file" ] || continue
    # Only the distribution's own archive can hold the package.
    grep -q 'Signed-By:.*debian-archive-keyring' "$file" || continue
    sed 's/^Types:.*/Types: deb-src/' "$file" >"$work/apt/sources.list.d/${file##*/}"
  done
  private="-o Dir::Etc::sourcelist=$work/apt/sources.list -o Dir::Etc::sourceparts=$work/apt/sources.list.d -o Dir::State::lists=$work/apt/lists"
  # shellcheck disable=SC2086  # the options are words on purpose
  apt-get -qq $private update
  rm -rf "$work/source" && mkdir -p "$work/source" && cd "$work/source"
  # shellcheck disable=SC2086
  apt-get -qq $private -o APT::Sandbox::User=root source kubernetes
  rm -rf "$tree" && mkdir -p "${tree%/*}"
  mv "$work"/source/kubernetes-*/ "$tree"
  found=$(sed -n '1s/.*really\([0-9.]*\).*/\1/p' "$tree/debian/changelog")
  case $found in
    "$major.$minor".*) ;;
    *) echo "the source package holds v$found, wanted v$major.$minor.x: build on Debian 12 or allow the download" >&2; exit 3 ;;
  esac
  touch "$work/source.done"
fi

PATH=/usr/lib/go-1.19/bin:$PATH
export PATH GOPATH="$work/gopath" GOCACHE="$work/gocache" GO111MODULE=off CGO_ENABLED=0 GOFLAGS=-trimpath
export KUBE_GIT_VERSION="$version" KUBE_GIT_COMMIT=debian KUBE_GIT_TREE_STATE=archive KUBE_GIT_MAJOR="$major" KUBE_GIT_MINOR="$minor"
cd "$tree"

say "take a library that fits the compiler"
# The vendored reflect2 1.0.1 walks maps by the layout of Go before 1.18: an API server built so dies at the first custom
# resource with labels or annotations (https://github.com/modern-go/reflect2/issues/24). Debian's own is 1.0.2.
library=github.com/modern-go/reflect2
rsync -a --delete --exclude='*_test.go' "/usr/share/gocode/src/$library/" "vendor/$library/"

say "generate code"
if [ ! -e "$work/generated.done" ]; then
  make -s generated_files
  touch "$work/generated.done"
fi

ldflags="-s -w"
for package in k8s.io/component-base/version k8s.io/kubernetes/vendor/k8s.io/component-base/version k8s.io/client-go/pkg/version k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version; do
  ldflags="$ldflags -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor -X $package.gitTreeState=archive"
done
for program in $programs; do
  say "compile $program"
  # Without Docker's runtime and the clouds' credentials, both of which later releases have dropped: a kubelet with them
  # asks for them at each start, for nine seconds where there are none.
  tags=; [ "$program" != kubelet ] || tags=dockerless,providerless
  go build -tags "$tags" -ldflags "$ldflags" -o "$out/$program.part" "./cmd/$program"
  mv "$out/$program.part" "$out/$program"
done

say "sum up"
cd "$out"
# shellcheck disable=SC2086
sha256sum $programs >SHA256SUMS.part
mv SHA256SUMS.part SHA256SUMS
