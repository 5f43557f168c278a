"""What the lab's images and its package repository are made of. A change here builds them anew."""

SUITE = "bookworm"

BASE = (
    "systemd systemd-sysv dbus ca-certificates iproute2 iputils-ping kmod procps sudo "
    "python3 python3-cffi-backend python3-zmq python3-msgpack python3-cryptography python3-yaml python3-dbus-fast"
)
"""A bare host: init, the message bus and what the minion's package depends on. Nothing of a cluster.
(python3-cffi-backend is named because debootstrap does not follow virtual packages.)"""

CEPH = (
    "ceph-mon ceph-mgr ceph-osd ceph-mds ceph-common ceph-fuse python3-rbd python3-rados python3-cephfs "
    "procps iputils-ping xfsprogs udev"
)
GLUSTER = "glusterfs-server glusterfs-client"

OFFERED = f"{CEPH} {GLUSTER} hello nginx-light openssh-server rsync chrony nftables"
"""Packages that hosts can install without a network, with all they depend on."""

LAYERS = {"ceph": CEPH, "gluster": GLUSTER}
"""Images with packages installed already, for tests which are not about installing them."""

PREPARE_BASE = r"""
set -eu
root=$1
rm -rf "$root"/etc/resolv.conf "$root"/etc/hostname "$root"/var/lib/dbus/machine-id \
    "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/*
: > "$root/etc/machine-id"
mkdir -p "$root/repo" "$root/usr/lib/stackmaster" "$root/etc/tmpfiles.d"
echo 'deb [trusted=yes] file:/repo ./' > "$root/etc/apt/sources.list"
printf 'APT::Install-Recommends "false";\nAcquire::Languages "none";\n' > "$root/etc/apt/apt.conf.d/90lab"
printf '%s\n' 'path-exclude=/usr/share/doc/*' 'path-exclude=/usr/share/man/*' \
    'path-exclude=/usr/share/locale/*' force-unsafe-io > "$root/etc/dpkg/dpkg.cfg.d/lab"

# Lab fix: FUSE needs its node. It is made inside each host, since a bind of this machine's node would
# let the packages of a host change the mode of the machine's own.
echo 'c! /dev/fuse 0666 root root - 10:229' > "$root/etc/tmpfiles.d/fuse.conf"

# Lab fix: this unit of nvme-cli, which Ceph depends on, cannot work in a container and would make
# every host count as degraded.
ln -s /dev/null "$root/etc/systemd/system/nvmf-autoconnect.service"

# Lab fix: hosts have no mirror to ask each day, and a package lock taken by a timer would disturb tests.
for timer in apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all; do
    ln -sf /dev/null "$root/etc/systemd/system/$timer.timer"
done

# Lab fix: Debian's Ceph units refuse the third start within half an hour; tests start them often.
for daemon in mon mgr osd mds; do
    folder="$root/etc/systemd/system/ceph-$daemon@.service.d"
    mkdir -p "$folder"
    printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=2\n' > "$folder/lab.conf"
done
"""
"""Run on the freshly made base image, with its folder as the argument."""

MOUNT_OVERLAY = r"""
set -eu
lower=$1 upper=$2 repository=$3; shift 3
mkdir -p "$upper" "$upper.work" "$upper.root"
root=$upper.root
mount -t overlay image -o "volatile,lowerdir=$lower,upperdir=$upper,workdir=$upper.work" "$root"
mount -t proc proc "$root/proc"
# A private /dev: packages change modes of nodes in it, and this machine's own must stay as they are.
mount -t tmpfs -o mode=755 dev "$root/dev"
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
    IFS=: read -r name major minor <<EOF
$node
EOF
    mknod -m 666 "$root/dev/$name" c "$major" "$minor"
done
ln -s /proc/self/fd "$root/dev/fd"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin
"""
"""Mounts an image to work in. Runs in a mount namespace of its own, so nothing stays mounted after it."""

DOWNLOAD = (
    MOUNT_OVERLAY
    + r"""
mirror=$1 suite=$2; shift 2
cat /etc/resolv.conf > "$root/etc/resolv.conf"
echo "deb $mirror $suite main" > "$root/etc/apt/sources.list"
chroot "$root" apt-get -q update
mkdir -p "$root/tmp/pool/partial"
chroot "$root" apt-get -qy --download-only -o Dir::Cache::archives=/tmp/pool install "$@"
mv "$root"/tmp/pool/*.deb "$repository/"
"""
)
"""Fetches packages with all that the base lacks. Arguments: lower upper pool mirror suite packages…"""

INSTALL = (
    MOUNT_OVERLAY
    + r"""
mount --bind "$repository" "$root/repo"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
chroot "$root" apt-get -q update
chroot "$root" apt-get -qy install "$@"
rm -rf "$root/usr/sbin/policy-rc.d" "$root"/var/lib/apt/lists/*
umount "$root/repo" "$root/dev" "$root/proc" "$root"
rm -rf "$upper.work" "$upper.root"
"""
)
"""Installs packages offline into an upper layer. Arguments: lower upper repository packages…"""

DEMO_VERSIONS = ("1.0", "2.0")
"""Versions of the package `lab-demo`, which exists to be installed, held and upgraded."""
