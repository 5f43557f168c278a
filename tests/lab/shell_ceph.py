"""Ceph by plain commands, as a good operator's shell script would do it: what the product is measured against.

From bare hosts to a healthy cluster with pools, users and a mounted CephFS. Work on several hosts is done
at the same time, and on one host wherever commands do not wait for each other.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from tests.lab.ceph_status import wait_whole
from tests.lab.harness import Host, Lab, settings


@dataclass(frozen=True, slots=True)
class Layout:
    """Which host does what. Managers and metadata servers live with the monitors."""

    monitors: tuple[str, ...] = ("mon1",)
    osds: tuple[str, ...] = ("osd1", "osd2", "osd3")
    computes: tuple[str, ...] = ("compute1",)

    @property
    def hosts(self) -> tuple[str, ...]:
        """All hosts, each once."""
        return tuple(dict.fromkeys(self.monitors + self.osds + self.computes))


ONE_MONITOR = Layout()
THREE_MONITORS = Layout(monitors=("node1", "node2", "node3"), osds=("node1", "node2", "node3"))

MONITOR_PACKAGES = ("ceph-mon", "ceph-mgr", "ceph-mds", "ceph-common")
OSD_PACKAGES = ("ceph-osd", "ceph-common")
COMPUTE_PACKAGES = ("ceph-fuse", "ceph-common")

POOLS = ("volumes", "images", "backups", "vms")

CONFIGURATION = """\
[global]
fsid = {fsid}
mon_initial_members = {names}
mon_host = {addresses}
public_network = {network}.0/24
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 3
osd_pool_default_min_size = 2
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_crush_chooseleaf_type = 1
mon_data_avail_warn = 2
mon_data_avail_crit = 1
mon_allow_pool_delete = true
# Only to be faster in a lab.
osd_pool_default_pg_autoscale_mode = off
paxos_propose_interval = 0.1
mon_osd_adjust_heartbeat_grace = false
mon_osd_down_out_interval = 30
osd_heartbeat_interval = 1
osd_heartbeat_grace = 6
osd_memory_target = 939524096
osd_mon_heartbeat_interval = 5
osd_mon_report_interval = 1
mgr_stats_period = 1
mgr_tick_period = 1
[osd]
bluestore_block_create = true
bluestore_block_size = 4294967296
"""

INSTALL = """
export DEBIAN_FRONTEND=noninteractive
grep -qs file:/repo /etc/apt/sources.list /etc/apt/sources.list.d/*.list ||
    echo 'deb [trusted=yes] file:/repo ./' > /etc/apt/sources.list.d/ceph.list
apt-get -q update
apt-get -qy --no-install-recommends install "$@"
"""

MAKE_KEYS = """
fsid=$1; shift
install -d -m 700 /root/bootstrap; cd /root/bootstrap
ceph-authtool --create-keyring mon --gen-key -n mon. --cap mon 'allow *'
ceph-authtool --create-keyring admin --gen-key -n client.admin \
    --cap mon 'allow *' --cap osd 'allow *' --cap mds 'allow *' --cap mgr 'allow *'
ceph-authtool --create-keyring osd --gen-key -n client.bootstrap-osd \
    --cap mon 'profile bootstrap-osd' --cap mgr 'allow r'
ceph-authtool mon --import-keyring admin
ceph-authtool mon --import-keyring osd
monmaptool --create --clobber --fsid "$fsid" "$@" monmap
"""

START_MONITOR = """
id=$1
cd /root/bootstrap
install -m 600 admin /etc/ceph/ceph.client.admin.keyring
install -d -o ceph -g ceph /var/lib/ceph/mon/ceph-$id
install -o ceph -g ceph -m 600 mon monmap /run/ceph
ceph-mon --mkfs -i $id --monmap /run/ceph/monmap --keyring /run/ceph/mon --setuser ceph --setgroup ceph
systemctl enable -q --now ceph-mon@$id
rm -r /run/ceph/mon /run/ceph/monmap /root/bootstrap
"""

START_MANAGER = """
id=$1
install -d -o ceph -g ceph /var/lib/ceph/mgr/ceph-$id
timeout 60 ceph auth get-or-create mgr.$id mon 'allow profile mgr' osd 'allow *' mds 'allow *' \
    | install -o ceph -g ceph -m 600 /dev/stdin /var/lib/ceph/mgr/ceph-$id/keyring
systemctl enable -q --now ceph-mgr@$id
"""

START_METADATA = """
id=$1
install -d -o ceph -g ceph /var/lib/ceph/mds/ceph-$id
ceph auth get-or-create mds.$id mon 'allow profile mds' mgr 'allow profile mds' mds 'allow *' osd 'allow *' \
    | install -o ceph -g ceph -m 600 /dev/stdin /var/lib/ceph/mds/ceph-$id/keyring
systemctl enable -q --now ceph-mds@$id
"""

START_OSD = """
bootstrap="--id bootstrap-osd --keyring /var/lib/ceph/bootstrap-osd/ceph.keyring"
uuid=$(cat /proc/sys/kernel/random/uuid)
secret=$(ceph-authtool --gen-print-key)
id=$(echo "{\\"cephx_secret\\": \\"$secret\\"}" | ceph $bootstrap osd new $uuid -i -)
data=/var/lib/ceph/osd/ceph-$id
install -d -o ceph -g ceph $data
ceph-authtool --create-keyring $data/keyring --name osd.$id --add-key "$secret"
chown ceph:ceph $data/keyring
ceph $bootstrap mon getmap -o $data/activate.monmap
ceph-osd --mkfs -i $id --osd-uuid $uuid --monmap $data/activate.monmap --osd-objectstore bluestore \
    --osd-data $data --keyring $data/keyring --setuser ceph --setgroup ceph
systemctl enable -q --now ceph-osd@$id
"""

MAKE_POOLS = """
printf '%s\\n' cephfs_metadata cephfs_data "$@" | xargs -P 3 -I{} ceph osd pool create {}
ceph fs new cephfs cephfs_metadata cephfs_data
"""

MAKE_USERS = """
rbd='allow class-read object_prefix rbd_children'
user() {
    ceph auth get-or-create client.$1 mon 'allow r' osd "$2" \
        | install -m 600 /dev/stdin /etc/ceph/ceph.client.$1.keyring
}
user cinder "$rbd, allow rwx pool=volumes, allow rwx pool=vms, allow rx pool=images"
user glance "$rbd, allow rwx pool=images"
user cinder-backup "$rbd, allow rwx pool=backups"
"""

AUTHORIZE = """
ceph fs authorize cephfs client.nova / rw | install -m 600 /dev/stdin /etc/ceph/ceph.client.nova.keyring
"""

INIT_POOLS = """
printf '%s\\n' "$@" | xargs -P 3 -I{} rbd pool init {}
"""

MOUNT = """
mkdir -p /var/lib/nova/instances
grep -qs ' /var/lib/nova/instances ' /etc/fstab ||
    echo 'none /var/lib/nova/instances fuse.ceph ceph.id=nova,_netdev,defaults 0 0' >> /etc/fstab
systemctl daemon-reload
systemctl start var-lib-nova-instances.mount
mountpoint -q /var/lib/nova/instances
"""


def deploy_by_shell(lab: Lab, layout: Layout = ONE_MONITOR) -> dict[str, float]:
    """Make the cluster on the lab's hosts and give back the seconds of each stage, and of the whole."""
    deploy = _Deploy(lab, layout)
    stages: list[tuple[str, Callable[[], None]]] = [
        ("packages", deploy.packages),
        ("monitors", deploy.monitors),
        ("osds, pools and users", deploy.osds_pools_users),
        ("rbd pools", deploy.rbd_pools),
        ("mount", deploy.mount),
        ("healthy", deploy.healthy),
    ]
    seconds: dict[str, float] = {}
    with _measured(seconds, "total"):
        for name, stage in stages:
            with _measured(seconds, name):
                stage()
    return seconds


def power_off_cluster(lab: Lab, layout: Layout = ONE_MONITOR) -> None:
    """Shut all hosts down: clients, then OSDs, then monitors.

    In this order a snapshot of the disks is whole again 2 s after its hosts have booted. All at once it
    takes 50 s: the metadata server waits 45 s for a client that never said goodbye.
    """
    for hosts in (layout.computes, layout.osds, layout.monitors):
        lab.power_off(hosts)


def power_on_cluster(lab: Lab, layout: Layout = ONE_MONITOR) -> None:
    """Boot all hosts: the cluster, and when it is whole its clients.

    A client that boots before a metadata server is up fails to mount from fstab, and does not try again.
    """
    servers = tuple(dict.fromkeys(layout.monitors + layout.osds))
    lab.boot(servers)
    wait_whole(lab[layout.monitors[0]], osds=len(layout.osds), mds=1)
    lab.boot(layout.computes)


class _Deploy:
    """The stages, in order; each ends when all its hosts have done their part."""

    def __init__(self, lab: Lab, layout: Layout) -> None:
        self._lab = lab
        self._layout = layout
        self._fsid = str(uuid.uuid4())
        self._first = lab[layout.monitors[0]]

    def packages(self) -> None:
        """Install on each host what its roles need."""
        self._lab.each(self._install, self._layout.hosts)

    def monitors(self) -> None:
        """Configuration everywhere, then monitors and managers."""
        configuration = self._configuration()
        self._lab.each(lambda host: host.put("/etc/ceph/ceph.conf", configuration), self._layout.hosts)
        _bash(self._first, MAKE_KEYS, self._fsid, *self._monitor_map())
        self._share(["mon", "admin", "monmap"], self._layout.monitors[1:])
        self._bootstrap_key = self._first.get("/root/bootstrap/osd")
        self._lab.each(lambda host: _bash(host, START_MONITOR, host.name), self._layout.monitors)
        self._lab.each(lambda host: _bash(host, START_MANAGER, host.name), self._layout.monitors)

    def osds_pools_users(self) -> None:
        """OSDs on their hosts; meanwhile on the monitors what does not need an OSD yet."""
        with ThreadPoolExecutor() as pool:
            osds = pool.submit(self._lab.each, self._start_osd, self._layout.osds)
            metadata = pool.submit(self._lab.each, self._start_metadata, self._layout.monitors)
            pools = pool.submit(self._pools_and_users)
            osds.result(), metadata.result(), pools.result()

    def rbd_pools(self) -> None:
        """Mark the block pools as such: needs OSDs that serve them."""
        _bash(self._first, INIT_POOLS, *POOLS)

    def mount(self) -> None:
        """CephFS on the compute hosts, now and at each boot."""
        keyrings = {name: self._first.get(_keyring(name)) for name in ("nova", "cinder")}

        def on_compute(host: Host) -> None:
            for name, content in keyrings.items():
                host.put(_keyring(name), content, mode=0o600)
            _bash(host, MOUNT)

        self._lab.each(on_compute, self._layout.computes)

    def healthy(self) -> None:
        """Wait until the cluster is whole."""
        wait_whole(self._first, osds=len(self._layout.osds), mds=1)

    def _install(self, host: Host) -> None:
        roles = (
            (self._layout.monitors, MONITOR_PACKAGES),
            (self._layout.osds, OSD_PACKAGES),
            (self._layout.computes, COMPUTE_PACKAGES),
        )
        wanted = [package for hosts, packages in roles if host.name in hosts for package in packages]
        _bash(host, INSTALL, *dict.fromkeys(wanted), timeout=600)

    def _configuration(self) -> str:
        monitors = [self._lab[name] for name in self._layout.monitors]
        return CONFIGURATION.format(
            fsid=self._fsid,
            names=", ".join(self._layout.monitors),
            addresses=", ".join(f"[v2:{each.address}:3300/0,v1:{each.address}:6789/0]" for each in monitors),
            network=settings.NETWORK,
        )

    def _monitor_map(self) -> list[str]:
        """Arguments of monmaptool that name all monitors with their addresses."""
        words = []
        for name in self._layout.monitors:
            address = self._lab[name].address
            words += ["--addv", name, f"[v2:{address}:3300,v1:{address}:6789]"]
        return words

    def _share(self, files: Sequence[str], others: Sequence[str]) -> None:
        """Give the first monitor's keys to the other monitors."""
        contents = {file: self._first.get_bytes(f"/root/bootstrap/{file}") for file in files if others}

        def receive(host: Host) -> None:
            for file, content in contents.items():
                host.put(f"/root/bootstrap/{file}", content, mode=0o600)

        self._lab.each(receive, others)

    def _start_osd(self, host: Host) -> None:
        host.put("/var/lib/ceph/bootstrap-osd/ceph.keyring", self._bootstrap_key, mode=0o600)
        _bash(host, START_OSD)

    def _start_metadata(self, host: Host) -> None:
        _bash(host, START_METADATA, host.name)

    def _pools_and_users(self) -> None:
        _bash(self._first, MAKE_USERS)
        _bash(self._first, MAKE_POOLS, *POOLS)
        _bash(self._first, AUTHORIZE)


def _bash(host: Host, script: str, *arguments: str, timeout: float = 120) -> None:
    """Run a script on a host; it ends at its first failing command."""
    host.run(["bash", "-euo", "pipefail", "-c", script, "bash", *arguments], timeout=timeout)


def _keyring(user: str) -> str:
    return f"/etc/ceph/ceph.client.{user}.keyring"


@contextmanager
def _measured(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - began, 2)
