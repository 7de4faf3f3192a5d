//! The files of test hosts: layers that the hosts of a network share, and one disk for each.
//!
//! A host's `/usr` and `/etc` are overlays over the machine's, so that a host costs no copy of them;
//! all else (`/var`, `/usr/local`, `/root`, `/home`, `/tmp`, …) is its own and starts out empty.
//! Everything is on a tmpfs that only the control side's mount namespace has, which this process
//! reaches through `/proc/PID/root`. It knows no processes and starts none.
//!
//! What must stay true: a write here goes to a file just made on that tmpfs, and no path follows a
//! link out of a disk: an absolute link below `/proc/PID/root` would lead into the machine.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};

use crate::options::HostOptions;

/// Applets that do not replace the machine's program.
const KEPT: [&str; 6] = ["crontab", "crond", "su", "passwd", "login", "busybox"];

/// A folder as this process sees it and as the control side's mount namespace names it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Below `/proc/PID/root`.
    pub(crate) outside: PathBuf,
    /// The plain path, for `mount`.
    pub(crate) inside: PathBuf,
}

impl Place {
    /// The same for an entry of the folder.
    pub(crate) fn join(&self, name: &str) -> Place {
        Place {
            outside: self.outside.join(name),
            inside: self.inside.join(name),
        }
    }
}

/// Makes a folder, and those above it, with mode 0755; `mode` holds for the last.
fn folder(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Makes a file with exactly this mode.
fn file(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Makes a folder that hides what the layers below it hold under the same name.
fn opaque_folder(path: &Path, mode: u32) -> io::Result<()> {
    folder(path, mode)?;
    setxattr(path, "trusted.overlay.opaque", b"y", XattrFlags::empty())?;
    Ok(())
}

/// Makes a character device; 0/0 is overlayfs' mark for "not there".
fn device(path: &Path, mode: u32, major: u32, minor: u32) -> io::Result<()> {
    mknodat(
        CWD,
        path,
        FileType::CharacterDevice,
        Mode::from(mode),
        makedev(major, minor),
    )?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// The script with which hosts boot, as a file: on a command line, `pgrep -f` on a host would find
/// its words there.
pub(crate) fn boot_script(path: &Place) -> io::Result<()> {
    file(&path.outside, 0o644, include_str!("boot.sh"))
}

/// The layer over the machine's `/etc` that all hosts share: nothing of the machine's own services,
/// keys, jobs or rights shows through.
pub(crate) fn etc_layer(layer: &Place) -> io::Result<()> {
    let etc = &layer.outside;
    folder(etc, 0o755)?;
    opaque_folder(&etc.join("ssh"), 0o755)?;
    for period in ["d", "hourly", "daily", "weekly", "monthly", "yearly"] {
        opaque_folder(&etc.join(format!("cron.{period}")), 0o755)?;
    }
    opaque_folder(&etc.join("sudoers.d"), 0o750)?;
    folder(&etc.join("pam.d"), 0o755)?;
    file(&etc.join("crontab"), 0o644, "SHELL=/bin/sh\n")?;
    file(
        &etc.join("nsswitch.conf"),
        0o644,
        "passwd: files\ngroup: files\nhosts: files\n",
    )?;
    file(&etc.join("resolv.conf"), 0o644, "")?;
    file(
        &etc.join("sudoers"),
        0o440,
        "Defaults env_reset\n\
         Defaults secure_path=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"\n\
         root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n",
    )?;
    // Who may do what is settled by sudoers and the spool; the machine's PAM modules may want a
    // session manager or an audit system that no host has.
    let permit = "auth required pam_permit.so\naccount required pam_permit.so\n\
                  session required pam_permit.so\n";
    for name in ["cron", "sudo", "sudo-i"] {
        file(&etc.join("pam.d").join(name), 0o644, permit)?;
    }
    Ok(())
}

/// The layer over the machine's `/usr` that makes its shell dash.
pub(crate) fn dash_layer(layer: &Place) -> io::Result<()> {
    folder(&layer.outside.join("bin"), 0o755)?;
    symlink("dash", layer.outside.join("bin/sh"))
}

/// The layer over the machine's `/usr` that makes its shell and tools the busybox that is at
/// `busybox`; `applets` is what `busybox --list-full` printed.
pub(crate) fn busybox_layer(layer: &Place, busybox: &Path, applets: &str) -> io::Result<()> {
    let usr = &layer.outside;
    folder(&usr.join("bin"), 0o755)?;
    folder(&usr.join("sbin"), 0o755)?;
    fs::copy(busybox, usr.join("bin/busybox"))?;
    for line in applets.lines() {
        let (dir, name) = line.rsplit_once('/').unwrap_or(("", line));
        if KEPT.contains(&name) || name.is_empty() {
            continue;
        }
        for bin in ["bin", "sbin"] {
            // Where busybox would put it, and wherever the machine has a program of that name.
            let machine = Path::new("/usr").join(bin).join(name);
            if dir.rsplit('/').next() == Some(bin) || machine.symlink_metadata().is_ok() {
                let link = usr.join(bin).join(name);
                if link.symlink_metadata().is_err() {
                    symlink("/usr/bin/busybox", link)?;
                }
            }
        }
    }
    Ok(())
}

/// What [`build`] needs to know beside the options.
pub(crate) struct Facts<'a> {
    /// The shared layers over `/etc` and `/usr`.
    pub(crate) etc_layer: &'a Place,
    /// See `etc_layer`.
    pub(crate) usr_layer: &'a Place,
    /// The line for `authorized_keys`.
    pub(crate) client_key: &'a str,
    /// A number no other host of the network has, for interface names and hardware addresses.
    pub(crate) index: u32,
}

/// Builds the disk of one host below `disk`, ready to boot. The small disks' own file systems,
/// `small-0`, `small-1`, …, are mounted by the caller.
pub(crate) fn build(disk: &Place, options: &HostOptions, facts: &Facts<'_>) -> io::Result<()> {
    let top = &disk.outside;
    let root = top.join("rootfs");
    folder(&root, 0o755)?;
    for name in [
        "proc", "sys", "mnt", "usr", "etc", "opt", "srv", "home", "dev/pts", "var/log",
    ] {
        folder(&root.join(name), 0o755)?;
    }
    for name in ["var/lib/sudo", "var/cache", "var/spool/cron"] {
        folder(&root.join(name), 0o755)?;
    }
    for name in ["tmp", "var/tmp", "dev/shm"] {
        folder(&root.join(name), 0o1777)?;
    }
    folder(&root.join("root"), 0o700)?;
    symlink("/run", root.join("var/run"))?;
    symlink("/run/lock", root.join("var/lock"))?;
    // bin, sbin, lib, … on a merged-usr system.
    for entry in fs::read_dir("/")? {
        let entry = entry?;
        if let Ok(target) = fs::read_link(entry.path())
            && target.starts_with("usr")
        {
            symlink(target, root.join(entry.file_name()))?;
        }
    }
    let dev = root.join("dev");
    for (name, minor) in [
        ("null", 3),
        ("zero", 5),
        ("full", 7),
        ("random", 8),
        ("urandom", 9),
    ] {
        device(&dev.join(name), 0o666, 1, minor)?;
    }
    device(&dev.join("tty"), 0o666, 5, 0)?;
    for (name, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
    ] {
        symlink(target, dev.join(name))?;
    }
    for name in ["bin", "sbin", "lib", "etc", "share"] {
        folder(&top.join("local").join(name), 0o755)?;
    }
    for name in [
        "usr/upper/bin",
        "usr/upper/sbin",
        "usr/work",
        "etc/upper",
        "etc/work",
    ] {
        folder(&top.join(name), 0o755)?;
    }
    folder(&top.join("usr/upper/local"), 0o755)?;
    for name in &options.hide {
        device(&top.join("usr/upper/bin").join(name), 0, 0, 0)?;
        device(&top.join("usr/upper/sbin").join(name), 0, 0, 0)?;
    }
    etc(&top.join("etc/upper"), options)?;
    users(top, options, facts.client_key)?;
    mounts(disk, options, facts)?;
    cables(top, &options.addresses, facts.index)
}

/// Puts what a power cycle renews: an empty `/run` and the boot's id.
pub(crate) fn before_boot(disk: &Place) -> io::Result<()> {
    let run = disk.outside.join("rootfs/run");
    match fs::remove_dir_all(&run) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    folder(&run.join("sshd"), 0o755)?;
    folder(&run.join("lock"), 0o1777)?;
    file(
        &disk.outside.join("boot_id"),
        0o444,
        &fs::read_to_string(UUID)?,
    )
}

const UUID: &str = "/proc/sys/kernel/random/uuid";

/// The host's own files in `/etc`, but for its users.
fn etc(etc: &Path, options: &HostOptions) -> io::Result<()> {
    let name = &options.name;
    folder(&etc.join("ssh"), 0o755)?;
    folder(&etc.join("sudoers.d"), 0o750)?;
    file(&etc.join("hostname"), 0o644, &format!("{name}\n"))?;
    let mut hosts = "127.0.0.1 localhost\n".to_owned();
    for ip in &options.addresses {
        hosts.push_str(&format!("{ip} {name}\n"));
    }
    file(&etc.join("hosts"), 0o644, &hosts)?;
    file(
        &etc.join("machine-id"),
        0o444,
        &fs::read_to_string(UUID)?.replace('-', ""),
    )?;
    if options.sudo {
        let rule = format!("{} ALL=(ALL:ALL) NOPASSWD: ALL\n", options.ops_user);
        file(&etc.join("sudoers.d/ops"), 0o440, &rule)?;
    }
    // VERBOSE is what makes sshd log each connection and each session's start.
    let sshd = format!(
        "{}\nPort {}\nAddressFamily inet\nHostKey /etc/ssh/ssh_host_ed25519_key\nUsePAM no\n\
         UseDNS no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\nPrintMotd no\nLogLevel VERBOSE\n\
         PidFile /run/sshd.pid\nSubsystem sftp internal-sftp\n",
        options.sshd_config, options.ssh_port
    );
    file(&etc.join("ssh/sshd_config"), 0o600, &sshd)
}

/// Users, their homes and keys: the machine's system accounts and the options' users.
fn users(top: &Path, options: &HostOptions, client_key: &str) -> io::Result<()> {
    let (machine_users, machine_groups) = (
        fs::read_to_string("/etc/passwd")?,
        fs::read_to_string("/etc/group")?,
    );
    let system = |line: &&str| {
        line.split(':')
            .nth(2)
            .and_then(|id| id.parse::<u32>().ok())
            .is_some_and(|id| id != 0 && (id < 1000 || id == 65534))
    };
    let name_of = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let own: Vec<&String> = std::iter::once(&options.ops_user)
        .chain(&options.users)
        .collect();
    let taken = |line: &&str| own.iter().any(|name| **name == name_of(line));
    let mut passwd = "root:x:0:0:root:/root:/bin/sh\n".to_owned();
    let mut shadow = "root:*:19000:0:99999:7:::\n".to_owned();
    let mut group = "root:x:0:\n".to_owned();
    for line in machine_users
        .lines()
        .filter(system)
        .filter(|line| !taken(line))
    {
        passwd.push_str(&format!("{line}\n"));
        shadow.push_str(&format!("{}:*:19000:0:99999:7:::\n", name_of(line)));
    }
    for line in machine_groups
        .lines()
        .filter(system)
        .filter(|line| !taken(line))
    {
        group.push_str(&format!("{line}\n"));
    }
    for (id, name) in (2000..).zip(&own) {
        passwd.push_str(&format!("{name}:x:{id}:{id}::/home/{name}:/bin/sh\n"));
        shadow.push_str(&format!("{name}:*:19000:0:99999:7:::\n"));
        group.push_str(&format!("{name}:x:{id}:\n"));
        let home = top.join("rootfs/home").join(name);
        folder(&home, 0o755)?;
        chown(&home, Some(id), Some(id))?;
    }
    let etc = top.join("etc/upper");
    file(&etc.join("passwd"), 0o644, &passwd)?;
    file(&etc.join("group"), 0o644, &group)?;
    file(&etc.join("shadow"), 0o640, &shadow)?;
    for (home, id) in [
        ("root".to_owned(), 0),
        (format!("home/{}", options.ops_user), 2000),
    ] {
        let ssh = top.join("rootfs").join(home).join(".ssh");
        folder(&ssh, 0o700)?;
        file(&ssh.join("authorized_keys"), 0o600, client_key)?;
        chown(&ssh, Some(id), Some(id))?;
        chown(ssh.join("authorized_keys"), Some(id), Some(id))?;
    }
    // crontab(1) is set-group-id and makes the users' files here.
    let gid = machine_groups
        .lines()
        .find(|line| name_of(line) == "crontab")
        .and_then(|line| line.split(':').nth(2)?.parse().ok());
    let spool = top.join("rootfs/var/spool/cron/crontabs");
    folder(&spool, 0o755)?;
    chown(&spool, None, gid)?;
    fs::set_permissions(&spool, fs::Permissions::from_mode(0o1730))?;
    // cron sees a changed spool by its time in whole seconds; a crontab installed in the second in
    // which the host was made would be overlooked.
    fs::File::open(&spool)?.set_modified(SystemTime::now() - Duration::from_secs(60))
}

/// The mounts of one boot, in order, for `mount --all`.
fn mounts(disk: &Place, options: &HostOptions, facts: &Facts<'_>) -> io::Result<()> {
    let d = disk.inside.display();
    let r = format!("{d}/rootfs");
    let (usr, etc) = (
        facts.usr_layer.inside.display(),
        facts.etc_layer.inside.display(),
    );
    let overlay = |name: &str, layer: &dyn std::fmt::Display| {
        format!(
            "overlay {r}/{name} overlay \
             lowerdir={layer}:/{name},upperdir={d}/{name}/upper,workdir={d}/{name}/work 0 0\n"
        )
    };
    // The kernel's settings are the machine's, not the host's: they can be read only.
    let mut fstab = format!(
        "{r} {r} none bind 0 0\n{}{}{d}/local {r}/usr/local none bind 0 0\n\
         proc {r}/proc proc nosuid,nodev,noexec 0 0\n{r}/proc/sys {r}/proc/sys none bind,ro 0 0\n\
         {d}/boot_id {r}/proc/sys/kernel/random/boot_id none bind,ro 0 0\n\
         sysfs {r}/sys sysfs ro 0 0\n\
         devpts {r}/dev/pts devpts newinstance,ptmxmode=0666,mode=620,gid=5 0 0\n",
        overlay("usr", &usr),
        overlay("etc", &etc),
    );
    if options.engine {
        // Containers are control groups of the machine's kernel, so their tree must be writable.
        fstab.push_str(&format!(
            "/sys/fs/cgroup {r}/sys/fs/cgroup none rbind 0 0\n"
        ));
    }
    for (number, small) in options.small_disks.iter().enumerate() {
        folder(&disk.outside.join(format!("small-{number}")), 0o755)?;
        let (folder_on_disk, path) = match small.path.strip_prefix("/usr/local/") {
            Some(rest) => (disk.outside.join("local").join(rest), &small.path),
            None => (
                disk.outside.join("rootfs").join(&small.path[1..]),
                &small.path,
            ),
        };
        folder(&folder_on_disk, 0o755)?;
        fstab.push_str(&format!("{d}/small-{number} {r}{path} none bind 0 0\n"));
    }
    file(&disk.outside.join("fstab"), 0o644, &fstab)
}

/// The name that the `position`th interface of host `index` has on the control side.
pub(crate) fn cable(index: u32, position: usize) -> String {
    format!("h{index}e{position}")
}

/// The two `ip -batch` files of the first boot: for the control side, and for the host.
fn cables(top: &Path, addresses: &[Ipv4Addr], index: u32) -> io::Result<()> {
    let (mut wire, mut interfaces) = (String::new(), "link set lo up\n".to_owned());
    for (position, ip) in addresses.iter().enumerate() {
        let [_, net, a, b] = ip.octets();
        let [_, _, i, j] = index.to_be_bytes();
        let mac = format!("02:{net:02x}:{a:02x}:{b:02x}:{i:02x}:{j:02x}");
        let bridge = if net == 77 { "outer" } else { "inner" };
        wire.push_str(&format!(
            "link add {} up master {bridge} type veth peer name eth{position} address {mac} \
             netns /proc/self/fd/4\n",
            cable(index, position)
        ));
        if net == 77 {
            // A fixed neighbour lets a host whose link is down be silent; without an answer to
            // ARP the control side's kernel would say "no route to host" after three seconds.
            wire.push_str(&format!(
                "neigh replace {ip} lladdr {mac} dev outer nud permanent\n"
            ));
        }
        interfaces.push_str(&format!("addr add {ip}/16 dev eth{position}\n"));
        interfaces.push_str(&format!("link set eth{position} up\n"));
    }
    file(&top.join("wire"), 0o644, &wire)?;
    file(&top.join("interfaces"), 0o644, &interfaces)
}
